//! Reads what came back: the status, and a body within its limits.

use lockmaster_core::release::clip;
use reqwest::header::{
    CONTENT_ENCODING, CONTENT_TYPE, DATE, HeaderName, HeaderValue, LINK, LOCATION, RETRY_AFTER,
};
use reqwest::{Response, StatusCode, Url};

use super::address;
use super::link::{self, next_link, same_host};
use super::problem::Problem;
use super::retry;
use super::shares::Budget;

/// Longest body of an error that is read for its code.
const ERROR_BODY_LIMIT: usize = 16 << 10;

/// What came back with status 200.
pub(super) struct Answer {
    /// Where it came from, before any redirection.
    pub(super) url: Url,
    pub(super) content_type: Option<String>,
    /// Every header `Link`, as it came.
    pub(super) links: Vec<HeaderValue>,
    pub(super) body: Vec<u8>,
}

/// A 404 keeps the code of its body; everything else is an answer or a problem.
pub(super) enum Outcome<T> {
    Found(T),
    Missing { code: String },
}

impl Answer {
    /// Where the next page of a list is, if there is one.
    pub(super) fn next_page(&self) -> Result<Option<Url>, Problem> {
        let links = self.links.iter().map(|link| link.to_str());
        let links = links.collect::<Result<Vec<_>, _>>();
        let next = next_link(links.map_err(|_| link::unreadable())?)?;
        next.map(|next| same_host(&self.url, next)).transpose()
    }
}

/// How an answer is read.
pub(super) struct Reading<'a> {
    /// Who answers, for people: the registry, or its token service.
    pub(super) who: &'static str,
    /// Whether there was a login for it.
    pub(super) login: bool,
    /// Longest body.
    pub(super) limit: usize,
    pub(super) budget: &'a Budget,
}

impl Reading<'_> {
    /// Reads the answer to a GET of `url`.
    pub(super) async fn read(
        &self,
        url: Url,
        response: Response,
    ) -> Result<Outcome<Answer>, Problem> {
        let status = response.status();
        let code = status.as_u16();
        match code {
            200 => {}
            404 => {
                let body = read_body(response, ERROR_BODY_LIMIT, self.budget).await;
                let code = body.map(|body| error_code(&body)).unwrap_or_default();
                return Ok(Outcome::Missing { code });
            }
            401 | 403 => {
                return Err(Problem::Forbidden {
                    who: self.who,
                    status: code,
                    login: self.login,
                });
            }
            429 | 500..=599 => {
                let date = text(&response, &DATE);
                let asked = text(&response, &RETRY_AFTER);
                let pause = asked.and_then(|value| retry::retry_after(&value, date.as_deref()));
                return Err(Problem::Overloaded {
                    status: code,
                    retry_after: pause,
                });
            }
            _ if is_redirect(status) => {
                let text = "the registry redirects, which is followed for blobs only".to_owned();
                return Err(Problem::Redirect(text));
            }
            _ => return Err(Problem::Status(code)),
        }
        if text(&response, &CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
            let text = "the registry sent it encoded though it was asked not to".to_owned();
            return Err(Problem::Document(text));
        }
        let content_type = text(&response, &CONTENT_TYPE);
        let links = response.headers().get_all(LINK).iter().cloned().collect();
        let body = read_body(response, self.limit, self.budget).await?;
        Ok(Outcome::Found(Answer {
            url,
            content_type,
            links,
            body,
        }))
    }
}

fn text(response: &Response, name: &HeaderName) -> Option<String> {
    let value = response.headers().get(name)?;
    value.to_str().ok().map(str::to_owned)
}

/// Reads a body; the limits hold before and while it arrives, whatever its length header says, and
/// nothing is read that there is no memory for. What does not come to its end is given back.
async fn read_body(
    mut response: Response,
    limit: usize,
    budget: &Budget,
) -> Result<Vec<u8>, Problem> {
    let mut paid = 0;
    let read = read_chunks(&mut response, limit, budget, &mut paid).await;
    if read.is_err() {
        budget.give_back(paid);
    }
    read
}

async fn read_chunks(
    response: &mut Response,
    limit: usize,
    budget: &Budget,
    paid: &mut usize,
) -> Result<Vec<u8>, Problem> {
    let too_long = || Problem::Limit {
        what: "bytes",
        limit,
    };
    let announced = response.content_length().unwrap_or(0);
    let announced = usize::try_from(announced).map_err(|_| too_long())?;
    if announced > limit {
        return Err(too_long());
    }
    budget.take(announced).await?;
    *paid = announced;
    let mut body = Vec::with_capacity(announced);
    while let Some(chunk) = response.chunk().await.map_err(connection)? {
        let length = body.len() + chunk.len();
        if length > limit {
            return Err(too_long());
        }
        if length > *paid {
            budget.take(length - *paid).await?;
            *paid = length;
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

pub(super) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Where an answer redirects to: https, and without credentials.
pub(super) fn redirect_target(at: &Url, response: &Response) -> Result<Url, Problem> {
    let refuse = |text: &str| Err(Problem::Redirect(text.to_owned()));
    let location = text(response, &LOCATION).unwrap_or_default();
    let Ok(target) = at.join(&location) else {
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

/// An error of the client, in its own words and those of its sources, without the URL.
pub(super) fn connection(error: reqwest::Error) -> Problem {
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
