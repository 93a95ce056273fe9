//! The places where an image's content may be read: its registry and the mirrors of that, each with
//! the one client that reaches it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lockmaster_core::release::{ImageReference, clip};
use reqwest::header::{ACCEPT_ENCODING, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, RequestBuilder, Url};

use super::address::{self, Reach};
use super::config::{self, Config, ConfigError, Limits, Place, Registry};
use super::credentials::Credentials;
use super::docker_config::Login;
use super::own::OwnFile;
use super::problem::Problem;
use super::{SetupError, address::Within};

/// A registry that does not take the connection in this time is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection that nobody uses is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Public registries whose API or token service has another host than their images are named with,
/// as their owners document it: the name, the API, the token service.
const KNOWN: [(&str, &str, &str); 2] = [
    (
        "docker.io",
        "registry-1.docker.io",
        "https://auth.docker.io",
    ),
    (
        "registry.gitlab.com",
        "registry.gitlab.com",
        "https://gitlab.com",
    ),
];

/// One place, and how it is reached.
pub(super) struct Endpoint {
    /// Host, and port where it has one.
    pub(super) host: String,
    /// The root of its API.
    pub(super) base: Url,
    pub(super) is_mirror: bool,
    pub(super) limits: Limits,
    client: Client,
    reach: Reach,
    realms: BTreeSet<String>,
    own: Option<OwnFile>,
}

/// A registry and its mirrors.
pub(super) struct Site {
    pub(super) origin: Endpoint,
    pub(super) mirrors: Vec<Endpoint>,
}

/// All registries: those that are listed, and the rest.
pub(super) struct Sites {
    listed: BTreeMap<String, Arc<Site>>,
    /// HTTPS, public addresses, the system's certificate authorities.
    guarded: Client,
    /// For what registries store elsewhere: the same.
    elsewhere: (Client, Reach),
}

impl Sites {
    pub(super) fn new(config: &Config) -> Result<Self, SetupError> {
        let builder = || client(&config.user_agent);
        let guarded = builder()
            .https_only(true)
            .dns_resolver(Arc::new(Within(Reach::Public)))
            .build()?;
        let mut listed = BTreeMap::new();
        for registry in &config.registries {
            registry.check()?;
            let site = Arc::new(Site::of(registry, builder)?);
            if listed.insert(registry.host.clone(), site).is_some() {
                return Err(config::error(&registry.host, "it is listed twice").into());
            }
        }
        Ok(Self {
            listed,
            elsewhere: (guarded.clone(), Reach::Public),
            guarded,
        })
    }

    /// Where the images of a registry are read.
    pub(super) fn site(&self, registry: &str) -> Result<Arc<Site>, Problem> {
        if let Some(site) = self.listed.get(registry) {
            return Ok(Arc::clone(site));
        }
        let place = Place {
            host: registry,
            plain_http: false,
            certificate_authorities: None,
            private_addresses: false,
            realms: &[],
        };
        let limits = Limits::default();
        let origin = Endpoint::new(place, self.guarded.clone(), limits)
            .map_err(|_| Problem::Address(format!("\"{}\" is no host", clip(registry))))?;
        Ok(Arc::new(Site {
            origin,
            mirrors: Vec::new(),
        }))
    }

    /// A GET of what a registry stores elsewhere: public addresses, nobody's credentials.
    pub(super) fn elsewhere(&self, url: Url) -> Result<RequestBuilder, Problem> {
        let (client, reach) = &self.elsewhere;
        build(client, url, *reach)
    }

    /// Lets a test follow a redirection to a server of its own, with this certificate.
    #[cfg(test)]
    pub(super) fn follow_to(&mut self, pem: &str) {
        let place = Place {
            host: "127.0.0.1",
            plain_http: false,
            certificate_authorities: Some(pem),
            private_addresses: true,
            realms: &[],
        };
        let client = configured(client("test"), place).unwrap();
        self.elsewhere = (client, Reach::Private);
    }
}

impl Site {
    fn of(registry: &Registry, builder: impl Fn() -> ClientBuilder) -> Result<Self, SetupError> {
        let limits = registry.limits;
        let endpoint = |place: Place<'_>, file: Option<&std::path::PathBuf>, is_mirror| {
            let client = configured(builder(), place)?;
            let own = file.map(|path| OwnFile::open(path)).transpose();
            Ok::<_, SetupError>(Endpoint {
                own: own.map_err(|problem| config::error(place.host, &problem))?,
                is_mirror,
                ..Endpoint::new(place, client, limits)?
            })
        };
        let origin = endpoint(registry.place(), registry.credentials.as_ref(), false)?;
        let mirrors = registry.mirrors.iter();
        let mirrors = mirrors.map(|one| endpoint(one.place(), one.credentials.as_ref(), true));
        Ok(Self {
            origin,
            mirrors: mirrors.collect::<Result<_, _>>()?,
        })
    }

    /// The operator's own credentials here, on behalf of a namespace; nobody's where it has none.
    pub(super) async fn own_credentials(&self, namespace: &str, fresh: bool) -> Credentials {
        let mut parts = Vec::new();
        let mut origin = None;
        let mut mirrors = BTreeMap::new();
        for endpoint in std::iter::once(&self.origin).chain(&self.mirrors) {
            let Some(own) = &endpoint.own else { continue };
            let (content, logins) = own.read(fresh).await;
            parts.push((endpoint.host.clone(), content));
            if endpoint.is_mirror {
                mirrors.insert(endpoint.host.clone(), logins);
            } else {
                origin = Some(logins);
            }
        }
        if parts.is_empty() {
            return Credentials::anonymous(namespace);
        }
        let parts = parts
            .iter()
            .flat_map(|(host, content)| [host.as_bytes(), content.as_str().as_bytes()]);
        Credentials::of_operator(namespace, origin, mirrors, parts)
    }
}

impl Endpoint {
    fn new(place: Place<'_>, client: Client, limits: Limits) -> Result<Self, ConfigError> {
        let Place {
            host,
            plain_http,
            private_addresses,
            ..
        } = place;
        let known = KNOWN.iter().find(|(name, ..)| *name == host);
        let api = known.map_or(host, |(_, api, _)| api);
        let scheme = if plain_http { "http" } else { "https" };
        let base = Url::parse(&format!("{scheme}://{api}/"))
            .map_err(|_| config::error(host, "host makes no URL"))?;
        let mut realms = place.realms()?;
        realms.extend(known.map(|(_, _, realm)| (*realm).to_owned()));
        realms.insert(base.origin().ascii_serialization());
        Ok(Self {
            host: host.to_owned(),
            base,
            is_mirror: false,
            limits,
            client,
            reach: reach(private_addresses),
            realms,
            own: None,
        })
    }

    /// Whether who asks may ask here: a mirror with a login of its own is for the operator's.
    pub(super) fn is_open_to(&self, credentials: &Credentials, image: &ImageReference) -> bool {
        self.own.is_none() || self.login(credentials, image).is_some()
    }

    /// What may be shown here for this image.
    pub(super) fn login<'a>(
        &self,
        credentials: &'a Credentials,
        image: &ImageReference,
    ) -> Option<&'a Login> {
        if self.is_mirror {
            credentials.for_mirror(&self.host, image)
        } else {
            credentials.for_origin(image)
        }
    }

    /// Whether its tokens may come from there.
    pub(super) fn takes_tokens_from(&self, realm: &Url) -> bool {
        let origin = realm.origin();
        origin.is_tuple() && self.realms.contains(&origin.ascii_serialization())
    }

    /// The same content here as at `url` of the origin.
    pub(super) fn rebase(&self, url: &Url) -> Result<Url, Problem> {
        let mut path = url.path().to_owned();
        if let Some(query) = url.query() {
            path = format!("{path}?{query}");
        }
        self.base
            .join(&path)
            .ok()
            .filter(|rebased| rebased.origin() == self.base.origin())
            .ok_or_else(|| Problem::Address("what is asked for is no path".to_owned()))
    }

    /// A GET here, or at one of its token services.
    pub(super) fn get(&self, url: Url) -> Result<RequestBuilder, Problem> {
        build(&self.client, url, self.reach)
    }
}

fn reach(private_addresses: bool) -> Reach {
    if private_addresses {
        Reach::Private
    } else {
        Reach::Public
    }
}

/// Proxies are not taken from the environment: the address that is connected to would be the
/// proxy's, and the check of the registry's own address would be passed over.
fn client(user_agent: &str) -> ClientBuilder {
    Client::builder()
        .user_agent(user_agent)
        .redirect(Policy::none())
        .referer(false)
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
}

fn configured(builder: ClientBuilder, place: Place<'_>) -> Result<Client, SetupError> {
    let mut builder = builder
        .https_only(!place.plain_http)
        .dns_resolver(Arc::new(Within(reach(place.private_addresses))));
    if let Some(certificates) = place.certificates()? {
        builder = builder.tls_certs_only(certificates);
    }
    Ok(builder.build()?)
}

/// Every request asks for what the bytes are, not for a shorter form of them: what is packed small
/// can unpack to anything (CVE-2023-30551 and its family).
fn build(client: &Client, url: Url, reach: Reach) -> Result<RequestBuilder, Problem> {
    address::check_literal(&url, reach).map_err(|refused| Problem::Address(refused.to_string()))?;
    let identity = HeaderValue::from_static("identity");
    Ok(client.get(url).header(ACCEPT_ENCODING, identity))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sites(registries: Vec<Registry>) -> Sites {
        Sites::new(&Config {
            registries,
            user_agent: "test".to_owned(),
        })
        .unwrap()
    }

    #[test]
    fn known_registries_are_asked_where_their_api_is() {
        let sites = sites(vec![]);
        let hub = sites.site("docker.io").unwrap();
        assert_eq!(hub.origin.base.as_str(), "https://registry-1.docker.io/");
        let takes = |realm: &str| hub.origin.takes_tokens_from(&Url::parse(realm).unwrap());
        assert!(takes("https://auth.docker.io/token"));
        assert!(takes("https://registry-1.docker.io/token"));
        for foreign in [
            "http://auth.docker.io/token",
            "https://auth.docker.io:444/token",
            "https://auth.docker.io.evil.example/token",
            "https://gitlab.com/jwt/auth",
            "data:,x",
        ] {
            assert!(!takes(foreign), "{foreign}");
        }
        let other = sites.site("registry.example").unwrap();
        assert_eq!(other.origin.base.as_str(), "https://registry.example/");
        assert_eq!(other.origin.realms.len(), 1, "itself alone");
    }

    #[test]
    fn a_registry_is_listed_once_and_its_mirrors_have_clients_of_their_own() {
        let registry = |host: &str| Registry {
            host: host.to_owned(),
            ..Registry::default()
        };
        let twice = Sites::new(&Config {
            registries: vec![registry("a.example"), registry("a.example")],
            user_agent: "test".to_owned(),
        });
        let text = twice.err().unwrap().to_string();
        assert!(text.contains("listed twice"), "{text}");
        let mirror = config::Mirror {
            host: "mirror.example:5000".to_owned(),
            plain_http: true,
            private_addresses: true,
            ..config::Mirror::default()
        };
        let mirrored = Registry {
            mirrors: vec![mirror],
            ..registry("a.example")
        };
        let site = sites(vec![mirrored]).site("a.example").unwrap();
        let url = Url::parse("https://a.example/v2/shop/manifests/x?n=1").unwrap();
        let [mirror] = site.mirrors.as_slice() else {
            panic!()
        };
        assert_eq!(
            mirror.rebase(&url).unwrap().as_str(),
            "http://mirror.example:5000/v2/shop/manifests/x?n=1"
        );
        assert_eq!(
            (mirror.reach, site.origin.reach),
            (Reach::Private, Reach::Public)
        );
    }

    #[test]
    fn a_path_that_looks_like_a_host_stays_on_the_host() {
        let site = sites(vec![]).site("registry.example").unwrap();
        for path in ["//evil.example/x", "/\\evil.example/x"] {
            let url = Url::parse(&format!("https://registry.example{path}")).unwrap();
            match site.origin.rebase(&url) {
                Ok(rebased) => assert_eq!(rebased.host_str(), Some("registry.example")),
                Err(problem) => assert!(matches!(problem, Problem::Address(_))),
            }
        }
    }
}
