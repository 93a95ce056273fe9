//! GET and nothing else: limits while streaming, one redirect rule, one token rule, one address
//! rule.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use lockmaster_core::release::{ImageReference, clip};
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, LINK,
    LOCATION, WWW_AUTHENTICATE,
};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};

use super::problem::Problem;
use super::shares::Budget;
use super::token::{self, TOKEN_ANSWER_LIMIT, Token, Tokens};
use super::{Config, CredentialIdentity, SetupError, address};

/// A registry that does not take the connection in this time is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Blobs may be stored elsewhere; three hops are what the large registries use at most.
const REDIRECT_LIMIT: usize = 3;

/// Longest body of an error that is read for its code.
const ERROR_BODY_LIMIT: usize = 16 << 10;

/// What to read, and how much of it.
pub(super) struct Request<'a> {
    pub(super) url: Url,
    pub(super) image: &'a ImageReference,
    pub(super) identity: CredentialIdentity,
    pub(super) accept: Option<&'static str>,
    pub(super) limit: usize,
    pub(super) budget: &'a Budget,
    /// Blobs only.
    pub(super) follow: bool,
}

/// What came back with status 200.
pub(super) struct Answer {
    pub(super) content_type: Option<String>,
    pub(super) link: Option<String>,
    pub(super) body: Vec<u8>,
}

/// A 404 keeps the code of its body; everything else is an answer or a problem.
pub(super) enum Outcome {
    Found(Answer),
    Missing { code: String },
}

/// The clients and what they remember.
pub(super) struct Transport {
    /// For registries listed by host and port: plain HTTP, wherever they are.
    listed: Client,
    /// For all others: HTTPS, public addresses only.
    guarded: Client,
    plain_http: BTreeSet<String>,
    tokens: Tokens,
}

impl Transport {
    pub(super) fn new(config: &Config) -> Result<Self, SetupError> {
        // Proxies are not taken from the environment: the address that is connected to would be
        // the proxy's, and the check of the registry's own address would be passed over.
        let builder = || {
            Client::builder()
                .user_agent(&config.user_agent)
                .redirect(Policy::none())
                .referer(false)
                .no_proxy()
                .connect_timeout(CONNECT_TIMEOUT)
                .pool_idle_timeout(Duration::from_secs(30))
        };
        let guarded = builder()
            .https_only(true)
            .dns_resolver(std::sync::Arc::new(address::PublicOnly))
            .build()?;
        let plain_http = config.plain_http.clone();
        Ok(Self {
            listed: builder().build()?,
            guarded,
            plain_http,
            tokens: Tokens::default(),
        })
    }

    /// The root of an image's registry.
    pub(super) fn registry(&self, image: &ImageReference) -> Result<Url, Problem> {
        let registry = image.registry();
        let scheme = if self.plain_http.contains(registry) {
            "http"
        } else {
            "https"
        };
        Url::parse(&format!("{scheme}://{registry}/"))
            .map_err(|_| Problem::Address(format!("\"{}\" is no host", clip(registry))))
    }

    /// One GET; up to three more when a token is needed, up to three more when redirected.
    pub(super) async fn get(&self, request: &Request<'_>) -> Result<Outcome, Problem> {
        let (identity, repository) = (request.identity, request.image.repository());
        let token = self.tokens.read(identity, repository);
        let mut response = self.send(request, token.as_ref()).await?;
        if response.status() == StatusCode::UNAUTHORIZED
            && let Some(challenge) = response.headers().get(WWW_AUTHENTICATE)
        {
            let challenge = challenge.to_str().unwrap_or_default().to_owned();
            drop(response);
            let token = self.renew(request, token.as_ref(), &challenge).await?;
            response = self.send(request, Some(&token)).await?;
        }
        if request.follow {
            response = self.follow(request, response).await?;
        }
        self.read(request, response).await
    }

    async fn renew(
        &self,
        request: &Request<'_>,
        refused: Option<&Token>,
        challenge: &str,
    ) -> Result<Token, Problem> {
        let (identity, repository) = (request.identity, request.image.repository());
        if let Some(refused) = refused {
            self.tokens.drop(identity, repository, refused);
        }
        if let Some(newer) = self.tokens.read(identity, repository) {
            return Ok(newer);
        }
        let registry = self.registry(request.image)?;
        let url = token::token_url(&registry, request.image.path(), challenge)?;
        let asked = Request {
            url,
            accept: None,
            limit: TOKEN_ANSWER_LIMIT,
            follow: false,
            ..*request
        };
        let response = self.send(&asked, None).await?;
        let Outcome::Found(answer) = self.read(&asked, response).await? else {
            return Err(Problem::Challenge(
                "the registry's token service is missing".to_owned(),
            ));
        };
        let (token, lifetime) = token::read_token(&answer.body)?;
        self.tokens
            .remember(identity, repository, (token.clone(), lifetime));
        Ok(token)
    }

    async fn send(
        &self,
        request: &Request<'_>,
        token: Option<&Token>,
    ) -> Result<Response, Problem> {
        let listed = self.plain_http.contains(request.image.registry());
        let client = if listed { &self.listed } else { &self.guarded };
        if !listed {
            check_literal(&request.url)?;
        }
        let mut builder = client.get(request.url.clone());
        if let Some(token) = token {
            builder = builder.header(AUTHORIZATION, token.0.clone());
        }
        if let Some(accept) = request.accept {
            builder = builder.header(ACCEPT, HeaderValue::from_static(accept));
        }
        let builder = builder.header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        builder.send().await.map_err(connection)
    }

    /// Follows redirections of a blob: HTTPS, public addresses, no credentials.
    async fn follow(&self, request: &Request<'_>, first: Response) -> Result<Response, Problem> {
        let mut response = first;
        let mut at = request.url.clone();
        for _ in 0..REDIRECT_LIMIT {
            if !is_redirect(response.status()) {
                return Ok(response);
            }
            at = redirect_target(&at, response.headers().get(LOCATION))?;
            check_literal(&at)?;
            let identity = HeaderValue::from_static("identity");
            let next = self
                .guarded
                .get(at.clone())
                .header(ACCEPT_ENCODING, identity);
            response = next.send().await.map_err(connection)?;
        }
        if is_redirect(response.status()) {
            let text = format!("the registry redirects more than {REDIRECT_LIMIT} times");
            return Err(Problem::Redirect(text));
        }
        Ok(response)
    }

    async fn read(&self, request: &Request<'_>, response: Response) -> Result<Outcome, Problem> {
        let status = response.status();
        let code = status.as_u16();
        match code {
            200 => {}
            404 => {
                let body = read_body(response, ERROR_BODY_LIMIT, request.budget).await;
                let code = body.map(|body| error_code(&body)).unwrap_or_default();
                return Ok(Outcome::Missing { code });
            }
            401 | 403 => return Err(Problem::Forbidden(code)),
            429 | 500..=599 => return Err(Problem::Overloaded(code)),
            _ if is_redirect(status) => {
                let text = "the registry redirects, which is followed for blobs only".to_owned();
                return Err(Problem::Redirect(text));
            }
            _ => return Err(Problem::Status(code)),
        }
        let text = |name| {
            response
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        if text(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
            let text = "the registry sent it encoded though it was asked not to".to_owned();
            return Err(Problem::Document(text));
        }
        let (content_type, link) = (text(CONTENT_TYPE), text(LINK));
        let body = read_body(response, request.limit, request.budget).await?;
        Ok(Outcome::Found(Answer {
            content_type,
            link,
            body,
        }))
    }
}

/// Reads a body; the limits hold before and while it arrives, whatever its length header says, and
/// nothing is read that there is no memory for.
async fn read_body(
    mut response: Response,
    limit: usize,
    budget: &Budget,
) -> Result<Vec<u8>, Problem> {
    let too_long = || Problem::Limit {
        what: "bytes",
        limit,
    };
    let announced = response.content_length().unwrap_or(0);
    let mut paid = usize::try_from(announced).map_err(|_| too_long())?;
    if paid > limit {
        return Err(too_long());
    }
    budget.take(paid).await?;
    let mut body = Vec::with_capacity(paid);
    while let Some(chunk) = response.chunk().await.map_err(connection)? {
        let length = body.len() + chunk.len();
        if length > limit {
            return Err(too_long());
        }
        if length > paid {
            budget.take(length - paid).await?;
            paid = length;
        }
        body.extend_from_slice(&chunk);
    }
    body.shrink_to_fit();
    Ok(body)
}

/// The first code of an error body of the distribution specification.
fn error_code(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Body {
        errors: Vec<One>,
    }
    #[derive(serde::Deserialize)]
    struct One {
        code: String,
    }
    let body: Option<Body> = serde_json::from_slice(body).ok();
    body.and_then(|body| body.errors.into_iter().next())
        .map(|one| one.code)
        .unwrap_or_default()
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn redirect_target(at: &Url, location: Option<&HeaderValue>) -> Result<Url, Problem> {
    let refuse = |text: &str| Err(Problem::Redirect(text.to_owned()));
    let location = location
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let Ok(target) = at.join(location) else {
        return refuse("the registry redirects to what is no URL");
    };
    if target.scheme() != "https" {
        return refuse("the registry redirects to a URL that is not https");
    }
    if !target.username().is_empty() || target.password().is_some() {
        return refuse("the registry redirects to a URL with credentials in it");
    }
    Ok(target)
}

/// An address in the place of a name does not pass through the resolver.
fn check_literal(url: &Url) -> Result<(), Problem> {
    let host = url.host_str().unwrap_or_default();
    match literal_address(host) {
        None => Ok(()),
        Some(found) => {
            address::check(host, found).map_err(|refused| Problem::Address(refused.to_string()))
        }
    }
}

/// The address that a URL's host is, if it is one.
fn literal_address(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()
}

/// An error of the client, in its own words and those of its sources, without the URL.
fn connection(error: reqwest::Error) -> Problem {
    if let Some(refused) = address::refusal(&error) {
        return Problem::Address(refused.to_string());
    }
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    Problem::Connection(clip(&text))
}
