//! Where what is attached to an image is listed: the referrers API, and the tag in its place.
//!
//! Each list is a hint. One that is too long, or cannot be read, fails the look.

use std::time::{Duration, Instant};

use lockmaster_core::release::ImageReference;

use super::answer::Outcome;
use super::cache::Cached;
use super::discovery::Visit;
use super::document::{self, ACCEPT_INDEX, Descriptor, Document};
use super::layout::Layout;
use super::part::CARRIER;
use super::problem::{FetchError, Problem};
use super::transport::Transport;
use super::{CredentialIdentity, Inner, Reach, Source, lock};

/// Pages of referrers that are read (`Link`, distribution specification 1.1).
const PAGE_LIMIT: usize = 5;

/// Referrers that are looked at (CVE-2023-46737, CVE-2024-45395: endless attachments).
const REFERRER_LIMIT: usize = 128;

/// The code of a repository that does not exist, as opposed to an API that does not.
const NAME_UNKNOWN: &str = "NAME_UNKNOWN";

/// How long "this registry has no referrers API" is believed.
const NO_REFERRERS_FOR: Duration = Duration::from_mins(10);

/// More repositories than this are not remembered as lacking the API.
const NO_REFERRERS_LIMIT: usize = 1024;

/// What the referrers API says.
enum Listed {
    Referrers(Vec<Descriptor>),
    /// 404, which may mean that there is no such API.
    NotFound {
        code: String,
    },
    /// It is known that there is no such API; it was not asked.
    NotAsked,
}

/// Both lists, as they came. What the API's 404 means is not known before the subject is.
pub(super) struct Lists {
    api: Result<Listed, FetchError>,
    tag: Option<Result<Vec<Descriptor>, FetchError>>,
}

impl Inner {
    pub(super) fn knows_no_referrers(
        &self,
        identity: &CredentialIdentity,
        image: &ImageReference,
    ) -> bool {
        let mut known = lock(&self.no_referrers);
        known.retain(|_, until| *until > Instant::now());
        known.contains_key(&(identity.clone(), image.repository().to_owned()))
    }

    fn remember_no_referrers(&self, identity: &CredentialIdentity, image: &ImageReference) {
        let mut known = lock(&self.no_referrers);
        if known.len() < NO_REFERRERS_LIMIT {
            let until = Instant::now() + NO_REFERRERS_FOR;
            known.insert((identity.clone(), image.repository().to_owned()), until);
        }
    }
}

impl Lists {
    /// Whether the API says that it knows nothing of the image, which must be found there then.
    pub(super) fn are_missing(&self) -> bool {
        matches!(self.api, Ok(Listed::NotFound { .. }))
    }
}

impl Visit<'_> {
    /// Asks the API and, where that is known to be absent or was not enough, reads the tag.
    pub(super) async fn lists(&self) -> Lists {
        let absent = self
            .inner
            .knows_no_referrers(self.credentials.identity(), self.image);
        let api = async {
            if absent {
                return Ok(Listed::NotAsked);
            }
            match &self.inner.source {
                Source::Registries(transport) => {
                    let listed = self.referrers(transport).await;
                    listed.map_err(|problem| problem.reading(self.name("the referrers")))
                }
                Source::Layout(layout) => self.referring(layout).await.map(Listed::Referrers),
            }
        };
        let tag = async {
            match (&self.inner.source, absent, self.reach) {
                (Source::Registries(_), false, Reach::Referrers) => None,
                (Source::Registries(_) | Source::Layout(_), ..) => Some(self.fallback().await),
            }
        };
        let (api, tag) = tokio::join!(api, tag);
        Lists { api, tag }
    }

    /// What the lists name, once the subject is known to be there: only then does a 404 mean that
    /// there is no referrers API, and only when the repository is not said to be unknown.
    pub(super) async fn listed(&self, lists: Lists) -> Result<Vec<Descriptor>, FetchError> {
        let mut tag = lists.tag;
        let mut descriptors = match lists.api? {
            Listed::Referrers(descriptors) => descriptors,
            Listed::NotAsked => Vec::new(),
            Listed::NotFound { code } if code == NAME_UNKNOWN => {
                return Err(Problem::Document(format!(
                    "the registry answers {NAME_UNKNOWN} for a repository it has"
                ))
                .reading(self.name("the referrers")));
            }
            Listed::NotFound { .. } => {
                self.confirm().await?;
                self.inner
                    .remember_no_referrers(self.credentials.identity(), self.image);
                if tag.is_none() {
                    tag = Some(self.fallback().await);
                }
                Vec::new()
            }
        };
        descriptors.extend(tag.transpose()?.unwrap_or_default());
        Ok(descriptors)
    }

    /// The manifests in an image layout whose `subject` the image is.
    async fn referring(&self, layout: &Layout) -> Result<Vec<Descriptor>, FetchError> {
        let listed = layout.manifests();
        let listed = listed.map_err(|problem| problem.reading(self.name("what lists evidence")))?;
        let mut found = Vec::new();
        for (digest, descriptor) in listed {
            let subject = |cached: &Cached| document::subject(&cached.bytes);
            let read = self.by_digest(&CARRIER, digest, Some(descriptor.size), subject);
            let subject = read.await.and_then(|subject| {
                if subject.flatten().as_ref() == Some(self.image.digest()) {
                    found.push(descriptor.clone());
                }
                limit_referrers(&found)
            });
            subject.map_err(|problem| {
                problem.reading(self.name(&format!("the manifest {digest} in search")))
            })?;
        }
        Ok(found)
    }

    async fn referrers(&self, transport: &Transport) -> Result<Listed, Problem> {
        let mut descriptors = Vec::new();
        let path = format!("referrers/{}", self.image.digest());
        let mut url = self.url(transport, &path)?;
        for page in 0..PAGE_LIMIT {
            let answer = match self.list_at(transport, url, ACCEPT_INDEX).await? {
                Outcome::Found(answer) => answer,
                Outcome::Missing { code } if page == 0 => return Ok(Listed::NotFound { code }),
                Outcome::Missing { .. } => return Err(Problem::Missing),
            };
            descriptors.extend(index(&answer.body, answer.content_type.as_deref())?);
            limit_referrers(&descriptors)?;
            match answer.next_page()? {
                None => return Ok(Listed::Referrers(descriptors)),
                Some(next) => url = next,
            }
        }
        Err(Problem::Limit {
            what: "pages",
            limit: PAGE_LIMIT,
        })
    }

    /// The index under the tag `sha256-<hex>` (distribution specification 1.1, referrers tag
    /// schema). Anyone who may push may change it: a hint like the rest.
    async fn fallback(&self) -> Result<Vec<Descriptor>, FetchError> {
        let read = async {
            let Some(cached) = self.tagged("", ACCEPT_INDEX).await? else {
                return Ok(Vec::new());
            };
            let descriptors = index(&cached.bytes, cached.content_type.as_deref())?;
            limit_referrers(&descriptors)?;
            Ok(descriptors)
        };
        read.await
            .map_err(|problem: Problem| problem.reading(self.name("the referrers tag")))
    }
}

fn index(body: &[u8], content_type: Option<&str>) -> Result<Vec<Descriptor>, Problem> {
    match document::read(body, content_type)? {
        Document::Index { manifests, .. } => Ok(manifests),
        Document::Manifest { .. } => Err(Problem::Document("it is no index".to_owned())),
    }
}

/// Refuses more referrers than are looked at.
pub(super) fn limit_referrers<T>(found: &[T]) -> Result<(), Problem> {
    if found.len() > REFERRER_LIMIT {
        return Err(Problem::Limit {
            what: "referrers",
            limit: REFERRER_LIMIT,
        });
    }
    Ok(())
}
