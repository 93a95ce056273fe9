//! An image layout in place of a registry: what is found in it, and what a hostile one gets.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use lockmaster_core::facts::Cause;
use lockmaster_core::release::{Digest, ImageReference};
use lockmaster_verify::Candidate;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::lying::{BUNDLE, ENVELOPE, INDEX, MANIFEST, SIMPLE_SIGNING, nobody};
use super::super::{Artifact, FetchError, Reach, RegistryClient};
use super::{bytes, expect};

const TAG: &str = "org.opencontainers.image.ref.name";

/// A layout that is written piece by piece.
struct Layout {
    folder: TempDir,
    listed: Vec<Value>,
    image: ImageReference,
}

impl Layout {
    /// With an image and nothing about it.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("blobs/sha256")).unwrap();
        let marker = json!({"imageLayoutVersion": "1.0.0"}).to_string();
        std::fs::write(folder.path().join("oci-layout"), marker).unwrap();
        let digest = Digest::of(b"");
        let image = format!("registry.example/shop/checkout@{digest}");
        let mut layout = Self {
            folder,
            listed: Vec::new(),
            image: ImageReference::parse(&image).unwrap(),
        };
        let image = layout.add(
            &json!({"mediaType": MANIFEST, "config": {}, "layers": []}),
            &[],
        );
        layout.image = layout.image.with_digest(image);
        layout
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        let blobs = self.folder.path().join("blobs/sha256");
        blobs.join(digest.hexadecimal())
    }

    fn blob(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        std::fs::write(self.path(&digest), bytes).unwrap();
        digest
    }

    /// Writes a manifest or an index without listing it; its descriptor.
    fn hold(&self, document: &Value) -> Value {
        let text = document.to_string();
        let digest = self.blob(text.as_bytes());
        json!({"mediaType": document["mediaType"], "digest": digest, "size": text.len()})
    }

    /// The same, listed with these annotations; its digest.
    fn add(&mut self, document: &Value, annotations: &[(&str, &str)]) -> Digest {
        let mut descriptor = self.hold(document);
        for (key, value) in annotations {
            descriptor["annotations"][key] = (*value).into();
        }
        self.list(descriptor)
    }

    fn list(&mut self, descriptor: Value) -> Digest {
        let digest = Digest::parse(descriptor["digest"].as_str().unwrap()).unwrap();
        self.listed.push(descriptor);
        let index = json!({"schemaVersion": 2, "manifests": self.listed});
        std::fs::write(self.folder.path().join("index.json"), index.to_string()).unwrap();
        digest
    }

    /// A manifest that carries a bundle, about this subject.
    fn carrier(&self, bundle: &[u8], subject: &Digest) -> Value {
        let digest = self.blob(bundle);
        json!({
            "mediaType": MANIFEST, "config": {},
            "subject": {"mediaType": MANIFEST, "digest": subject, "size": 1},
            "layers": [{"mediaType": BUNDLE, "digest": digest, "size": bundle.len()}],
        })
    }

    /// A bundle about the image; the digests of its carrier and of itself.
    fn attach(&mut self, bundle: &[u8]) -> (Digest, Digest) {
        let carrier = self.carrier(bundle, self.image.digest());
        (self.add(&carrier, &[]), Digest::of(bundle))
    }

    /// A manifest of an older format, with one layer.
    fn older(&self, media_type: &str, payload: &[u8]) -> Value {
        let digest = self.blob(payload);
        let layer = json!({"mediaType": media_type, "digest": digest, "size": payload.len()});
        json!({"mediaType": MANIFEST, "config": {}, "layers": [layer]})
    }

    fn tag(&self, suffix: &str) -> String {
        format!("sha256-{}{suffix}", self.image.digest().hexadecimal())
    }

    async fn look(&self, reach: Reach) -> Result<std::sync::Arc<Artifact>, FetchError> {
        let client = RegistryClient::of_layout(self.folder.path()).await?;
        client.look(&self.image, &nobody(), reach).await
    }

    /// The bundles that are found.
    async fn found(&self) -> Vec<Vec<u8>> {
        let artifact = self.look(Reach::Referrers).await.unwrap();
        let bundles = artifact.bundles.iter();
        bundles.map(|bundle| bytes(bundle).to_vec()).collect()
    }

    async fn refused(&self, cause: Cause, words: &str) {
        for reach in [Reach::Referrers, Reach::Tags] {
            let error = self.look(reach).await.map(|_| ()).unwrap_err();
            expect((error.cause(), error.to_string()), cause, words);
        }
    }
}

#[tokio::test]
async fn what_names_the_image_as_its_subject_is_found_and_nothing_else() {
    let mut layout = Layout::new();
    layout.attach(b"one");
    layout.attach(b"two");
    let other = layout.carrier(b"of another", &Digest::of(b"another"));
    layout.add(&other, &[]);
    assert_eq!(layout.found().await, [b"one", b"two"]);
    let artifact = layout.look(Reach::Tags).await.unwrap();
    assert_eq!(Digest::of(&artifact.manifest), *layout.image.digest());
    assert_eq!(artifact.bundles.len(), 2);
}

/// Its images need not be listed, and each has its own evidence.
#[tokio::test]
async fn an_index_is_read_with_its_images() {
    let mut layout = Layout::new();
    let child = json!({"mediaType": MANIFEST, "config": {}, "layers": [], "number": 1});
    let child = layout.hold(&child);
    let index = layout.add(&json!({"mediaType": INDEX, "manifests": [child]}), &[]);
    layout.image = layout.image.with_digest(index);
    layout.attach(b"of the index");
    assert_eq!(layout.found().await, [b"of the index"]);
    let artifact = layout.look(Reach::Referrers).await.unwrap();
    let [child] = artifact.form.children() else {
        panic!("{:?}", artifact.form)
    };
    layout.image = layout.image.with_digest(child.digest.clone());
    assert!(layout.found().await.is_empty());
    layout.attach(b"of the image");
    assert_eq!(layout.found().await, [b"of the image"]);
}

#[tokio::test]
async fn a_tagged_list_is_read_too() {
    let mut layout = Layout::new();
    layout.attach(b"one");
    let carriers = [&b"one"[..], b"listed elsewhere"].map(|bundle| {
        let carrier = layout.carrier(bundle, layout.image.digest());
        layout.hold(&carrier)
    });
    let list = json!({"mediaType": INDEX, "manifests": carriers});
    let tag = layout.tag("");
    layout.add(&list, &[(TAG, &tag)]);
    assert_eq!(layout.found().await, [&b"one"[..], b"listed elsewhere"]);
}

#[tokio::test]
async fn older_formats_are_found_by_tag_reference_and_kind() {
    let signature = |layout: &Layout| layout.older(SIMPLE_SIGNING, b"payload");
    let attestation = |layout: &Layout| layout.older(ENVELOPE, b"envelope");
    for prefix in ["", "registry.example:5000/shop/checkout:"] {
        let mut layout = Layout::new();
        let tags = [".sig", ".att"].map(|suffix| format!("{prefix}{}", layout.tag(suffix)));
        let [signature, attestation] = [signature(&layout), attestation(&layout)];
        layout.add(&signature, &[(TAG, &tags[0])]);
        layout.add(&attestation, &[(TAG, &tags[1])]);
        assert_eq!(older(&layout, Reach::Tags).await, (1, 1), "{tags:?}");
        assert_eq!(older(&layout, Reach::Referrers).await, (0, 0));
    }
    // As `cosign save` writes it.
    let mut saved = Layout::new();
    let [signature, attestation] = [signature(&saved), attestation(&saved)];
    saved.add(&signature, &[("kind", "dev.cosignproject.cosign/sigs")]);
    saved.add(&attestation, &[("kind", "dev.cosignproject.cosign/atts")]);
    assert_eq!(
        older(&saved, Reach::Tags).await,
        (0, 0),
        "of an image that was not saved with it"
    );
    let image = saved.hold(&json!({"mediaType": MANIFEST, "config": {}, "layers": [], "n": 1}));
    let mut image = image.clone();
    image["annotations"]["kind"] = "dev.cosignproject.cosign/image".into();
    let digest = saved.list(image);
    saved.image = saved.image.with_digest(digest);
    assert_eq!(older(&saved, Reach::Tags).await, (1, 1));
}

/// How many signatures and attestations of the older formats are found.
async fn older(layout: &Layout, reach: Reach) -> (usize, usize) {
    let artifact = layout.look(reach).await.unwrap();
    let count = |is: fn(&Candidate) -> bool| {
        let all = artifact.bundles.iter();
        all.filter(|found| is(&found.candidate)).count()
    };
    (
        count(|found| matches!(found, Candidate::LegacySignature { .. })),
        count(|found| matches!(found, Candidate::LegacyAttestation { .. })),
    )
}

#[tokio::test]
async fn what_is_no_layout_says_so() {
    let refused = async |layout: &Layout, words: &str| {
        let error = layout.look(Reach::Referrers).await.map(|_| ()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("the OCI image layout /"), "{text}");
        assert!(text.contains(words), "{text}");
    };
    let layout = Layout::new();
    let write = |name: &str, text: &str| {
        std::fs::write(layout.folder.path().join(name), text).unwrap();
    };
    write("index.json", r#"{"manifests": [], "manifests": []}"#);
    refused(&layout, "index.json: it is not readable JSON").await;
    write(
        "index.json",
        r#"{"manifests": [], "config": {}, "layers": []}"#,
    );
    refused(&layout, "index.json: it is both").await;
    write("index.json", r#"{"config": {}, "layers": []}"#);
    refused(&layout, "index.json: it is a manifest").await;
    std::fs::remove_file(layout.folder.path().join("index.json")).unwrap();
    refused(&layout, "index.json is missing").await;
    write("oci-layout", r#"{"imageLayoutVersion": "2.0.0"}"#);
    refused(&layout, "version \"2.0.0\", only 1.0.0 is read").await;
    std::fs::remove_file(layout.folder.path().join("oci-layout")).unwrap();
    refused(&layout, "oci-layout is missing").await;
    let nowhere = RegistryClient::of_layout(std::path::Path::new("/nowhere")).await;
    let text = nowhere.map(|_| ()).unwrap_err().to_string();
    assert!(text.contains("it is missing"), "{text}");
}

#[tokio::test]
async fn a_missing_or_changed_blob_fails_the_whole() {
    let mut layout = Layout::new();
    let (carrier, bundle) = layout.attach(b"one");
    layout.attach(b"two");
    for digest in [&bundle, &carrier, &layout.image.digest().clone()] {
        let name = format!("blobs/sha256/{}", digest.hexadecimal());
        let path = layout.path(digest);
        let right = std::fs::read(&path).unwrap();
        std::fs::write(&path, [right.as_slice(), b" "].concat()).unwrap();
        let words = format!("{name} holds the bytes of sha256:");
        layout.refused(Cause::Untrustworthy, &words).await;
        std::fs::remove_file(&path).unwrap();
        let words = format!("{name} is missing");
        layout.refused(Cause::Untrustworthy, &words).await;
        std::fs::create_dir(&path).unwrap();
        layout
            .refused(Cause::Untrustworthy, &format!("{name} is no file"))
            .await;
        std::fs::remove_dir(&path).unwrap();
        std::fs::write(&path, right).unwrap();
    }
    assert_eq!(layout.found().await.len(), 2);
}

#[tokio::test]
async fn a_link_is_followed_within_the_directory_only() {
    let mut layout = Layout::new();
    let (_, bundle) = layout.attach(b"one");
    let outside = tempfile::tempdir().unwrap();
    let elsewhere = outside.path().join("one");
    std::fs::write(&elsewhere, b"one").unwrap();
    let path = layout.path(&bundle);
    let inside = layout.folder.path().join("one");
    std::fs::rename(&path, &inside).unwrap();
    symlink("../../one", &path).unwrap();
    assert_eq!(layout.found().await, [b"one"], "the bytes are right");
    std::fs::remove_file(&path).unwrap();
    for target in [elsewhere.as_path(), std::path::Path::new("/dev/zero")] {
        symlink(target, &path).unwrap();
        layout
            .refused(Cause::Untrustworthy, "leads out of the directory")
            .await;
        std::fs::remove_file(&path).unwrap();
    }
    symlink(&path, &path).unwrap();
    layout.refused(Cause::Untrustworthy, "cannot be read").await;
    // All blobs, or the list, by one link.
    let blobs = layout.folder.path().join("blobs");
    std::fs::remove_file(&path).unwrap();
    std::fs::rename(&inside, &path).unwrap();
    std::fs::rename(&blobs, outside.path().join("blobs")).unwrap();
    symlink(outside.path().join("blobs"), &blobs).unwrap();
    layout
        .refused(Cause::Untrustworthy, "leads out of the directory")
        .await;
    let list = layout.folder.path().join("index.json");
    std::fs::rename(&list, outside.path().join("canary")).unwrap();
    symlink(outside.path().join("canary"), &list).unwrap();
    layout
        .refused(Cause::Untrustworthy, "index.json is a link")
        .await;
}

#[tokio::test]
async fn a_digest_is_no_path() {
    let hex = "../".repeat(21) + "x";
    for digest in [
        format!("sha256:{hex}"),
        "sha256:../../../../etc/passwd".to_owned(),
        "../../etc/passwd".to_owned(),
        format!("sha512:{}", "0".repeat(128)),
    ] {
        let mut layout = Layout::new();
        layout.attach(b"one");
        let hostile = json!({"mediaType": MANIFEST, "digest": digest, "size": 1});
        layout.listed.push(hostile);
        let mut carrier = layout.carrier(b"two", layout.image.digest());
        carrier["layers"][0]["digest"] = digest.as_str().into();
        layout.add(&carrier, &[]);
        assert_eq!(layout.found().await, [b"one"], "{digest} is passed over");
    }
}

#[tokio::test]
async fn what_is_too_large_or_too_much_is_not_read() {
    let mut layout = Layout::new();
    let (carrier, bundle) = layout.attach(b"one");
    for (digest, length) in [(&bundle, (16 << 20) + 1), (&carrier, (4 << 20) + 1)] {
        let path = layout.path(digest);
        let right = std::fs::read(&path).unwrap();
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(length).unwrap();
        layout.refused(Cause::Truncated, "more than").await;
        std::fs::write(&path, right).unwrap();
    }
    for number in 0..128 {
        let mut carrier = layout.carrier(b"one", layout.image.digest());
        carrier["number"] = number.into();
        layout.add(&carrier, &[]);
    }
    layout
        .refused(Cause::Truncated, "more than 128 referrers")
        .await;
    let mut crowded = Layout::new();
    let listed = crowded.listed[0].clone();
    crowded.listed = vec![listed.clone(); 1024];
    crowded.list(listed);
    crowded
        .refused(Cause::Truncated, "more than 1024 manifests in index.json")
        .await;
}

#[tokio::test]
async fn a_list_that_contradicts_itself_is_refused() {
    let mut layout = Layout::new();
    layout.attach(b"one");
    layout.listed[0]["mediaType"] = INDEX.into();
    let again = layout.listed[1].clone();
    layout.list(again);
    layout.refused(Cause::Untrustworthy, "calls itself").await;
    let mut layout = Layout::new();
    let tag = layout.tag("");
    for number in 0..2 {
        let list = json!({"mediaType": INDEX, "manifests": [], "number": number});
        layout.add(&list, &[(TAG, &tag)]);
    }
    layout
        .refused(Cause::Untrustworthy, "gives the tag sha256-")
        .await;
}
