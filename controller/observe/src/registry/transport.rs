//! GET and nothing else: where it is asked, as whom, how often, and what may be followed.
//!
//! Content by digest is read from mirrors first: whatever one sends instead is told by its hash, and
//! then the next place is asked. Lists have no hash, and what a list leaves out nobody sees: the
//! registry itself is asked for them, and a mirror only while the registry cannot be reached.

use std::time::Duration;

use lockmaster_core::release::ImageReference;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Response, StatusCode, Url};

use super::answer::{self, Answer, Outcome, Reading, connection, is_redirect};
use super::challenge::{self, Challenge};
use super::credentials::Credentials;
use super::endpoint::{Endpoint, Site, Sites};
use super::problem::Problem;
use super::retry::{self, Attempts};
use super::shares::Budget;
use super::token::{self, Authorization, TOKEN_ANSWER_LIMIT, TokenKey, Tokens};
use super::traffic::{Traffic, TrafficObserver};
use super::{Config, SetupError};

/// Blobs may be stored elsewhere; three hops are what the large registries use at most.
const REDIRECT_LIMIT: usize = 3;

/// How long a place is waited for while there is another one to ask.
const PATIENCE: Duration = Duration::from_secs(3);

/// What to read, and how much of it.
pub(super) struct Request<'a> {
    /// At the image's registry or, for a further page, at the place of the page before.
    pub(super) url: Url,
    pub(super) image: &'a ImageReference,
    pub(super) credentials: &'a Credentials,
    pub(super) accept: Option<&'static str>,
    pub(super) limit: usize,
    pub(super) budget: &'a Budget,
    pub(super) kind: Kind,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A manifest by digest.
    Manifest,
    /// A blob; the only kind whose redirections are followed.
    Blob,
    /// Referrers or a tag.
    List,
}

/// The places, and what is remembered of them.
pub(super) struct Transport {
    sites: Sites,
    tokens: Tokens,
    pub(super) traffic: Traffic,
    /// The first pause between two attempts.
    pause: Duration,
}

impl Transport {
    pub(super) fn new(
        config: &Config,
        pause: Duration,
        observer: TrafficObserver,
    ) -> Result<Self, SetupError> {
        Ok(Self {
            sites: Sites::new(config)?,
            tokens: Tokens::default(),
            traffic: Traffic::new(observer),
            pause,
        })
    }

    /// The places, for a test that changes one.
    #[cfg(test)]
    pub(super) fn sites_mut(&mut self) -> &mut Sites {
        &mut self.sites
    }

    /// The registry of an image, and its mirrors.
    pub(super) fn site(&self, registry: &str) -> Result<std::sync::Arc<Site>, Problem> {
        self.sites.site(registry)
    }

    /// The root of an image's registry.
    pub(super) fn registry(&self, image: &ImageReference) -> Result<Url, Problem> {
        Ok(self.sites.site(image.registry())?.origin.base.clone())
    }

    /// One answer that `read` takes. What it does not take counts for the registry, and for a mirror
    /// like no answer.
    pub(super) async fn get<T>(
        &self,
        request: &Request<'_>,
        read: impl Fn(Answer) -> Result<T, Problem>,
    ) -> Result<Outcome<T>, Problem> {
        let site = self.sites.site(request.image.registry())?;
        let mirrors: Vec<&Endpoint> = site
            .mirrors
            .iter()
            .filter(|mirror| mirror.is_open_to(request.credentials, request.image))
            .collect();
        let at = request.url.origin();
        if let Some(mirror) = mirrors.iter().find(|one| one.base.origin() == at)
            && at != site.origin.base.origin()
        {
            // A further page is where the first one was.
            return self
                .ask(mirror, request, self.attempts(), None, &read)
                .await;
        }
        if mirrors.is_empty() {
            return self
                .ask(&site.origin, request, self.attempts(), None, &read)
                .await;
        }
        if request.kind == Kind::List {
            let (once, patience) = (Attempts::once(), Some(PATIENCE));
            let first = self.ask(&site.origin, request, once, patience, &read).await;
            return match first {
                Err(problem) if problem.is_silence() => {
                    let found = self.ask_mirrors(&mirrors, request, &read).await;
                    found.map_or(Err(problem), |found| Ok(Outcome::Found(found)))
                }
                answered => answered,
            };
        }
        match self.ask_mirrors(&mirrors, request, &read).await {
            Some(found) => Ok(Outcome::Found(found)),
            None => {
                self.ask(&site.origin, request, self.attempts(), None, &read)
                    .await
            }
        }
    }

    /// Whether the registry itself has an image that a mirror may have sent: only then does its 404
    /// for a list say anything about the list.
    pub(super) async fn confirm(&self, request: &Request<'_>) -> Result<(), Problem> {
        let site = self.sites.site(request.image.registry())?;
        if site.mirrors.is_empty() {
            return Ok(());
        }
        let length = |answer: Answer| Ok(answer.body.len());
        match self
            .ask(&site.origin, request, self.attempts(), None, &length)
            .await?
        {
            Outcome::Missing { .. } => Err(Problem::Missing),
            Outcome::Found(length) => {
                request.budget.give_back(length);
                Ok(())
            }
        }
    }

    fn attempts(&self) -> Attempts {
        Attempts::new(self.pause)
    }

    /// What the first mirror has that has it.
    async fn ask_mirrors<T>(
        &self,
        mirrors: &[&Endpoint],
        request: &Request<'_>,
        read: &impl Fn(Answer) -> Result<T, Problem>,
    ) -> Option<T> {
        for mirror in mirrors {
            let (once, patience) = (Attempts::once(), Some(PATIENCE));
            match self.ask(mirror, request, once, patience, read).await {
                Ok(Outcome::Found(found)) => return Some(found),
                Ok(Outcome::Missing { .. }) => {}
                Err(problem) => {
                    let image = request.image;
                    tracing::debug!(%image, mirror = mirror.host, %problem, "mirror not used");
                }
            }
        }
        None
    }

    /// Asks one place until it answers or the attempts are used up.
    async fn ask<T>(
        &self,
        endpoint: &Endpoint,
        request: &Request<'_>,
        mut attempts: Attempts,
        patience: Option<Duration>,
        read: &impl Fn(Answer) -> Result<T, Problem>,
    ) -> Result<Outcome<T>, Problem> {
        let mut before = None;
        loop {
            match self.attempt(endpoint, request, patience).await {
                Ok(Outcome::Missing { code }) => return Ok(Outcome::Missing { code }),
                Ok(Outcome::Found(answer)) => {
                    let length = answer.body.len();
                    let found = read(answer).map(Outcome::Found);
                    if found.is_err() {
                        request.budget.give_back(length);
                    }
                    return found;
                }
                // The attempt before closed it, and says more.
                Err(Problem::LeftAlone { .. }) if before.is_some() => {}
                Err(problem) => {
                    let pause = attempts.after(&problem, retry::random());
                    before = Some(problem);
                    if let Some(pause) = pause {
                        tokio::time::sleep(pause).await;
                        continue;
                    }
                }
            }
            if let Some(problem) = before {
                return Err(problem);
            }
        }
    }

    /// One attempt, which costs one request of the namespace's share, and counts for the host.
    async fn attempt(
        &self,
        endpoint: &Endpoint,
        request: &Request<'_>,
        patience: Option<Duration>,
    ) -> Result<Outcome<Answer>, Problem> {
        let (host, limits) = (endpoint.host.as_str(), endpoint.limits);
        let namespace = request.credentials.namespace();
        {
            let _own = request.budget.wait_for_own();
            self.traffic.wait(host, namespace, limits).await?;
        }
        let permission = self.traffic.permission(host)?;
        let exchange = self.exchange(endpoint, request);
        let result = match patience {
            None => exchange.await,
            Some(patience) => tokio::time::timeout(patience, exchange)
                .await
                .unwrap_or_else(|_| Err(no_answer(patience))),
        };
        permission.close(&result);
        result
    }

    /// Asks, once more with what a 401 asks for, and follows a blob to where it is stored.
    async fn exchange(
        &self,
        endpoint: &Endpoint,
        request: &Request<'_>,
    ) -> Result<Outcome<Answer>, Problem> {
        let url = endpoint.rebase(&request.url)?;
        let key = TokenKey::new(request.credentials, &endpoint.host, request.image);
        let known = self.tokens.read(&key);
        let mut response = send(endpoint, request, &url, known.as_ref()).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            let challenges = challenges(&response);
            if !challenges.is_empty() {
                drop(response);
                let new = self
                    .authorize(endpoint, request, &key, known.as_ref(), &challenges)
                    .await?;
                response = send(endpoint, request, &url, Some(&new)).await?;
                if response.status() == StatusCode::UNAUTHORIZED {
                    self.tokens.drop(&key, &new);
                }
            }
        }
        if request.kind == Kind::Blob {
            response = self.follow(&url, response).await?;
        }
        let reading = Reading {
            who: "registry",
            login: endpoint.login(request.credentials, request.image).is_some(),
            limit: request.limit,
            budget: request.budget,
        };
        reading.read(url, response).await
    }

    /// What a 401 asks for: a token, or the login itself. Those that need it at the same time get it
    /// from one request.
    async fn authorize(
        &self,
        endpoint: &Endpoint,
        request: &Request<'_>,
        key: &TokenKey,
        refused: Option<&Authorization>,
        challenges: &[Challenge],
    ) -> Result<Authorization, Problem> {
        let renewing = self.tokens.renewing(key);
        let _turn = renewing.lock().await;
        if let Some(refused) = refused {
            self.tokens.drop(key, refused);
        }
        if let Some(newer) = self.tokens.read(key) {
            return Ok(newer);
        }
        let login = endpoint.login(request.credentials, request.image);
        let (authorization, lifetime) = match challenges.iter().find(|one| one.is("Bearer")) {
            Some(bearer) => {
                let url = token::token_url(endpoint, request.image.path(), bearer)?;
                let mut asked = endpoint.get(url.clone())?;
                if let Some(login) = login {
                    asked = asked.header(AUTHORIZATION, login.header().clone());
                }
                let response = asked.send().await.map_err(connection)?;
                let reading = Reading {
                    who: "registry's token service",
                    login: login.is_some(),
                    limit: TOKEN_ANSWER_LIMIT,
                    budget: request.budget,
                };
                let Outcome::Found(answer) = reading.read(url, response).await? else {
                    let text = "the registry's token service is missing";
                    return Err(Problem::Challenge(text.to_owned()));
                };
                request.budget.give_back(answer.body.len());
                token::read_token(&answer.body)?
            }
            None => token::basic(challenges, login)?,
        };
        self.tokens.remember(key, &authorization, lifetime);
        Ok(authorization)
    }

    /// Follows redirections of a blob: HTTPS, public addresses, no credentials.
    async fn follow(&self, from: &Url, first: Response) -> Result<Response, Problem> {
        let mut response = first;
        let mut at = from.clone();
        for _ in 0..REDIRECT_LIMIT {
            if !is_redirect(response.status()) {
                return Ok(response);
            }
            at = answer::redirect_target(&at, &response)?;
            let next = self.sites.elsewhere(at.clone())?;
            response = next.send().await.map_err(connection)?;
        }
        if is_redirect(response.status()) {
            let text = format!("the registry redirects more than {REDIRECT_LIMIT} times");
            return Err(Problem::Redirect(text));
        }
        Ok(response)
    }
}

fn no_answer(patience: Duration) -> Problem {
    Problem::Connection(format!("no answer in {} seconds", patience.as_secs()))
}

async fn send(
    endpoint: &Endpoint,
    request: &Request<'_>,
    url: &Url,
    authorization: Option<&Authorization>,
) -> Result<Response, Problem> {
    let mut builder = endpoint.get(url.clone())?;
    if let Some(authorization) = authorization {
        builder = builder.header(AUTHORIZATION, authorization.0.clone());
    }
    if let Some(accept) = request.accept {
        builder = builder.header(ACCEPT, HeaderValue::from_static(accept));
    }
    builder.send().await.map_err(connection)
}

fn challenges(response: &Response) -> Vec<Challenge> {
    let headers = response.headers().get_all(WWW_AUTHENTICATE).iter();
    challenge::parse(headers.filter_map(|value| value.to_str().ok()))
}
