//! What a subject is: one image, or an index, and which of the images of an index may run.
//!
//! A container runtime takes the first image whose platform fits the node, one without a platform
//! included. So whatever a node might take counts, and an index of which that cannot be said for
//! certain is unfit.

use std::collections::BTreeSet;

use lockmaster_core::evidence::{CHILDREN_LIMIT, Child, Form};
use lockmaster_core::release::clip;

use super::cache::Cached;
use super::document::{self, Descriptor, Document, Platform};
use super::problem::Problem;

/// By this os and architecture builders mark what is no image, such as their own attestations. No
/// node is of such a platform.
const UNKNOWN: Option<&str> = Some("unknown");

/// What a subject's manifest says it is.
pub(super) fn form_of(cached: &Cached) -> Result<Form, Problem> {
    match document::read(&cached.bytes, cached.content_type.as_deref())? {
        Document::Manifest { config, .. } => Ok(Form::Image { config }),
        Document::Index { manifests } => Ok(match children(&manifests) {
            Ok(children) => Form::Index { children },
            Err(problem) => Form::Unfit { problem },
        }),
    }
}

fn children(manifests: &[Descriptor]) -> Result<Vec<Child>, String> {
    let runnable = manifests.iter().filter(|descriptor| may_run(descriptor));
    let children: Vec<_> = runnable.map(child).collect::<Result<_, _>>()?;
    if children.is_empty() {
        return Err("it lists no image that may run".to_owned());
    }
    if children.len() > CHILDREN_LIMIT {
        let count = children.len();
        return Err(format!(
            "it lists {count} images, at most {CHILDREN_LIMIT} are looked at"
        ));
    }
    let (mut platforms, mut digests) = (BTreeSet::new(), BTreeSet::new());
    for child in &children {
        if !platforms.insert(&child.platform) {
            return Err(format!("it lists {} twice", child.platform));
        }
        if !digests.insert(&child.digest) {
            return Err(format!("it lists {} twice", child.digest));
        }
    }
    Ok(children)
}

fn may_run(descriptor: &Descriptor) -> bool {
    let unknown = |platform: &Platform| {
        (platform.os.as_deref(), platform.architecture.as_deref()) == (UNKNOWN, UNKNOWN)
    };
    !descriptor.platform().is_some_and(unknown)
}

fn child(descriptor: &Descriptor) -> Result<Child, String> {
    let platform = descriptor
        .platform()
        .map_or_else(|| named(&Platform::default()), named);
    if descriptor.is_index() {
        return Err(format!("for {platform} it lists another index"));
    }
    if !descriptor.is_manifest() {
        let media_type = clip(descriptor.media_type());
        return Err(format!(
            "for {platform} it lists \"{media_type}\", which is no image manifest"
        ));
    }
    let digest = descriptor
        .digest()
        .ok_or_else(|| format!("for {platform} it lists an image by another digest than sha256"))?;
    Ok(Child { platform, digest })
}

/// The platform in one line, `linux/arm64/v8`.
fn named(platform: &Platform) -> String {
    let Platform {
        os,
        architecture,
        variant,
        version,
    } = platform;
    if os.is_none() && architecture.is_none() {
        return "an unnamed platform".to_owned();
    }
    let part = |part: &Option<String>| part.clone().unwrap_or_else(|| "?".to_owned());
    let mut name = format!("{}/{}", part(os), part(architecture));
    if let Some(variant) = variant {
        name = format!("{name}/{variant}");
    }
    if let Some(version) = version {
        name = format!("{name} {version}");
    }
    clip(&name)
}

#[cfg(test)]
mod tests {
    use lockmaster_core::release::Digest;
    use serde_json::{Value, json};
    use std::sync::Arc;

    use super::super::lying::{INDEX, MANIFEST};
    use super::*;

    fn entry(digest: &str, platform: &Value) -> Value {
        let digest = Digest::of(digest.as_bytes());
        json!({"mediaType": MANIFEST, "digest": digest, "size": 1, "platform": platform})
    }

    fn on(os: &str, architecture: &str) -> Value {
        json!({"os": os, "architecture": architecture})
    }

    fn form(manifests: &[Value]) -> Form {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
        form_of(&Cached {
            content_type: Some(INDEX.to_owned()),
            bytes: Arc::new(index.to_string().into_bytes()),
        })
        .unwrap()
    }

    #[track_caller]
    fn refused(manifests: &[Value], words: &str) {
        let Form::Unfit { problem } = form(manifests) else {
            panic!("{:?}", form(manifests))
        };
        assert!(problem.contains(words), "{problem}");
    }

    #[test]
    fn the_images_that_may_run_are_named_by_their_platform() {
        let found = form(&[
            entry("a", &on("linux", "amd64")),
            entry("sbom", &on("unknown", "unknown")),
            entry(
                "b",
                &json!({"os": "linux", "architecture": "arm64", "variant": "v8"}),
            ),
            entry(
                "c",
                &json!({"os": "windows", "architecture": "amd64", "os.version": "10.0.1"}),
            ),
            entry(
                "d",
                &json!({"os": "windows", "architecture": "amd64", "os.version": "10.0.2"}),
            ),
            entry("e", &Value::Null),
            entry("f", &on("unknown", "amd64")),
        ]);
        let platforms: Vec<_> = found
            .children()
            .iter()
            .map(|c| c.platform.as_str())
            .collect();
        let expect = [
            "linux/amd64",
            "linux/arm64/v8",
            "windows/amd64 10.0.1",
            "windows/amd64 10.0.2",
            "an unnamed platform",
            "unknown/amd64",
        ];
        assert_eq!(platforms, expect, "what a node might take is not left out");
        assert_eq!(found.children()[1].digest, Digest::of(b"b"));
    }

    #[test]
    fn an_index_that_nobody_can_judge_is_unfit() {
        let amd64 = || entry("a", &on("linux", "amd64"));
        refused(&[], "no image that may run");
        refused(
            &[entry("a", &on("unknown", "unknown"))],
            "no image that may",
        );
        refused(
            &[amd64(), entry("b", &on("linux", "amd64"))],
            "linux/amd64 twice",
        );
        refused(
            &[amd64(), entry("a", &on("linux", "arm64"))],
            &format!("{} twice", Digest::of(b"a")),
        );
        let unnamed = |digest| entry(digest, &Value::Null);
        refused(&[unnamed("a"), unnamed("b")], "an unnamed platform twice");
        let mut nested = entry("b", &on("linux", "arm64"));
        nested["mediaType"] = INDEX.into();
        refused(
            &[amd64(), nested.clone()],
            "linux/arm64 it lists another index",
        );
        nested["mediaType"] = "application/wasm".into();
        refused(
            &[amd64(), nested],
            "\"application/wasm\", which is no image",
        );
        let mut other = amd64();
        other["digest"] = "sha512:ab".into();
        refused(&[other], "another digest than sha256");
    }

    #[test]
    fn at_most_32_images() {
        let all: Vec<_> = (0..33)
            .map(|n| entry(&n.to_string(), &on("linux", &format!("cpu{n}"))))
            .collect();
        assert_eq!(form(&all[..32]).children().len(), 32);
        refused(&all, "33 images, at most 32");
    }
}
