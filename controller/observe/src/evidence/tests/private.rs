//! Evidence of private registries: read with the pull secrets that the Environment names, kept apart
//! by them, and nothing of them said to anybody.

use std::fmt::Write as _;
use std::io::Write;

use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::pull_secrets::tests::{Answers, Asked, path, secret};

/// What nobody may ever see again.
const CANARY: &str = "canary-4f1d7b";

struct Private {
    registry: LyingRegistry,
    image: ImageReference,
    store: EvidenceStore,
    woken: UnboundedReceiver<ImageReference>,
    answers: Answers,
    asked: Asked,
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn asker(namespace: &str, secrets: &[&str]) -> Asker {
    Asker {
        namespace: namespace.to_owned(),
        pull_secrets: secrets.iter().map(|&name| name.to_owned()).collect(),
    }
}

impl Private {
    /// A registry with one signed image, for user `shop` and this password.
    async fn new(password: &str) -> Self {
        let registry = LyingRegistry::start().await;
        let (image, signer) = (registry.image(), Signer::new());
        let signature = registry.bundle(&signer.sign(&image), COSIGN_SIGN);
        registry.referrers(&image, &[signature]);
        registry.protect("/v2/", &basic("shop", password), "Basic realm=\"x\"");
        let (client, answers, asked) = api_server();
        let (wake, woken) = unbounded_channel();
        let reader = Reader {
            client: registry.client(),
            pull_secrets: PullSecrets::eager(client),
        };
        let store = EvidenceStore::with_limits(reader, wake, Box::new(|_, _| {}), LIMITS);
        Self {
            registry,
            image,
            store,
            woken,
            answers,
            asked,
        }
    }

    fn give(&self, name: &str, password: &str) {
        let secret = secret(&self.registry.address, "shop", password);
        self.put(name, secret);
    }

    fn put(&self, name: &str, answer: (u16, Value)) {
        self.answers.lock().unwrap().insert(path(name), answer);
    }

    /// How often the API server was asked.
    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    async fn read(&mut self, asker: &Asker) -> Observed<Evidence> {
        match self.store.read(&self.image, asker, &[], NOON) {
            Observed::Pending => {
                let woken = tokio::time::timeout(Duration::from_secs(10), self.woken.recv());
                assert_eq!(woken.await.unwrap().unwrap(), self.image);
                self.store.read(&self.image, asker, &[], NOON)
            }
            seen @ (Observed::Known(_) | Observed::Unavailable(_)) => seen,
        }
    }

    async fn refusal(&mut self, asker: &Asker) -> String {
        let Observed::Unavailable(unavailable) = self.read(asker).await else {
            panic!("{asker:?} was not refused")
        };
        let Unavailable { cause, message } = unavailable;
        assert_eq!(cause, Cause::Forbidden, "{message}");
        message
    }
}

#[tokio::test]
async fn evidence_is_read_with_the_secrets_that_are_named_and_with_no_others() {
    let mut private = Private::new("p").await;
    private.give("pull", "p");
    let text = private.refusal(&asker("shop", &[])).await;
    assert!(
        text.contains("name a pull secret in spec.pullSecrets"),
        "{text}"
    );
    assert_eq!(private.asked(), 0, "no request without names");
    let evidence = known(private.read(&asker("shop", &["pull"])).await);
    assert_eq!(evidence.bundles.len(), 1);
    assert_eq!(*private.asked.lock().unwrap(), [path("pull")]);
    // What is known to one is not known to others: of another namespace, or with other Secrets.
    private.registry.take_requests();
    let text = private.refusal(&asker("other", &["pull"])).await;
    let missing = "Secret other/pull, named in spec.pullSecrets, does not exist";
    assert!(text.contains(missing), "{text}");
    assert!(private.registry.take_requests().is_empty());
    private.refusal(&asker("shop", &["missing"])).await;
    private.refusal(&asker("shop", &["pull", "missing"])).await;
    private.refusal(&asker("shop", &[])).await;
}

#[tokio::test]
async fn a_refusal_says_which_secrets_and_what_in_them_is_not_used() {
    let mut private = Private::new("p").await;
    private.give("pull", "wrong");
    let text = private.refusal(&asker("shop", &["pull"])).await;
    assert!(
        text.contains("user name and password for it are refused")
            && text.ends_with("it was asked with spec.pullSecrets pull"),
        "{text}"
    );
    let helpers = json!({"auths": {}, "credHelpers": {"x": "y"}}).to_string();
    let mut object = secret("registry.example", "u", "p");
    object.1["data"] = json!({".dockerconfigjson": STANDARD.encode(helpers)});
    private.put("helpers", object);
    let text = private.refusal(&asker("shop", &["helpers"])).await;
    let registry = &private.registry.address;
    let none = format!("spec.pullSecrets helpers have no login for {registry}");
    assert!(
        text.contains(&none) && text.contains("its credHelpers names programs"),
        "{text}"
    );
}

#[tokio::test]
async fn a_secret_that_was_changed_is_read_again_when_it_is_refused() {
    let mut private = Private::new("new").await;
    private.give("pull", "old");
    private.refusal(&asker("shop", &["pull"])).await;
    assert_eq!(private.asked(), 2, "once more, and it was the same");
    // Read within the minute; the registry refuses it; and then it is another one.
    private.give("pull", "new");
    let manifest = json!({
        "mediaType": crate::registry::lying::MANIFEST, "config": {}, "layers": [], "other": 1,
    });
    let other = private
        .image
        .with_digest(private.registry.manifest(&manifest));
    private.registry.referrers(&other, &[]);
    private.image = other;
    let evidence = known(private.read(&asker("shop", &["pull"])).await);
    assert!(evidence.bundles.is_empty());
    assert_eq!(private.asked(), 3);
}

/// Everything that is logged, at every level, by every crate.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Reads with Secrets that are right, wrong, broken and missing, and returns all that is said.
async fn said_of_canaries(private: &mut Private) -> String {
    private.give("right", CANARY);
    private.give("wrong", &format!("{CANARY}-wrong"));
    let mut broken = secret("registry.example", "u", "p");
    let text = format!("{{\"auths\":\"{CANARY}\"}}");
    broken.1["data"] = json!({".dockerconfigjson": STANDARD.encode(text)});
    private.put("broken", broken);
    private.put("malformed", (200, json!({"data": {"x": CANARY}})));
    let mut said = String::new();
    for name in ["right", "wrong", "broken", "malformed", "missing"] {
        let seen = private.read(&asker("shop", &[name])).await;
        let stored = serde_json::to_string(&seen).unwrap();
        writeln!(said, "{seen:?}\n{stored}").unwrap();
    }
    let realm = "Bearer realm=\"https://evil.example/token\"";
    private.registry.protect("/v2/", "Bearer t", realm);
    private.image = private
        .image
        .with_digest(lockmaster_core::release::Digest::of(b"other"));
    let seen = private.read(&asker("shop", &["right"])).await;
    writeln!(said, "{seen:?}").unwrap();
    said
}

/// CVE-2026-45737, CVE-2023-25163, CVE-2025-23216 too: Argo CD showed Secrets in differences, errors
/// and logs.
#[tokio::test]
async fn cve_2026_42880_no_byte_of_a_secret_is_logged_or_said() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .finish();
    // The test's runtime has one thread, so this sees what its tasks log.
    let _guard = tracing::subscriber::set_default(subscriber);
    let mut private = Private::new(CANARY).await;
    let said = said_of_canaries(&mut private).await;
    let logged = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(logged.contains("evidence not read"), "the log was kept");
    for words in [
        "spec.pullSecrets wrong",
        "subject",
        "evil.example",
        "Secret shop/broken",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let login = basic("shop", CANARY).replace("Basic ", "");
    for never in [CANARY, &login, &STANDARD.encode(CANARY)] {
        assert!(!logged.contains(never), "{never} was logged");
        assert!(!said.contains(never), "{never} was said");
    }
}
