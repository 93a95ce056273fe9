//! What the API server stores: exactly what the product can read.

use serde_json::{Value, json};

use super::{Story, create, environment};
use crate::beds::Bare;
use crate::values::{DIGEST, FIELDS};

/// The objects of the table, each good in all its fields.
fn object(kind: &str) -> Value {
    match kind {
        "Environment" => {
            let mut object = environment("prod");
            object["spec"]["health"] = json!({"deadline": "10m"});
            object
        }
        "Revocation" => json!({
            "apiVersion": "lockmaster.dev/v1alpha1", "kind": "Revocation",
            "metadata": {"name": "stored"},
            "spec": {
                "reason": "disclosed", "digests": [DIGEST],
                "signers": [{"key": "", "from": "2026-11-24T00:00:00Z"}],
            },
        }),
        _ => json!({
            "apiVersion": "lockmaster.dev/v1alpha1", "kind": "Release",
            "metadata": {"name": "checkout-1.42.0"},
            "spec": {
                "product": "checkout", "version": "1.42.0",
                "components": [{"image": format!("registry.example/shop/checkout@{DIGEST}")}],
            },
        }),
    }
}

/// The values that the parsers and the schemas are compared with, on a real API server.
pub(super) async fn values(bare: &Bare) -> anyhow::Result<()> {
    let mut story = Story::begin(bare, "guard-values").await?;
    let mut cases = 0;
    for field in &FIELDS {
        for (text, right) in field.cases() {
            cases += 1;
            let mut object = object(field.kind);
            if field.pointer == "/spec/digests/0" {
                object["spec"]
                    .as_object_mut()
                    .map(|spec| spec.remove("signers"));
            }
            let case = format!("{}{} {text:?}", field.kind, field.pointer);
            if let Some(place) = object.pointer_mut(field.pointer) {
                *place = json!(text);
            }
            let who = match field.kind {
                "Revocation" => bare.cluster.admin(),
                _ => &bare.bob,
            };
            let answer = create(who, story.namespace, object, true).await;
            if right {
                story.allow(&case, answer);
            } else {
                let name = field.pointer.rsplit('/').next().unwrap_or_default();
                story.deny(&case, name, answer);
            }
        }
    }
    story.end(cases)
}

/// A tag that belongs to another version says that something was mixed up.
pub(super) async fn tags(bare: &Bare) -> anyhow::Result<()> {
    let mut story = Story::begin(bare, "guard-tags").await?;
    let mut release = object("Release");
    release["spec"]["source"] = json!({
        "repository": "https://git.example/shop/checkout", "commit": "3c1e9f2a".repeat(5),
    });
    let answer = create(&bare.bob, story.namespace, release.clone(), true).await;
    story.allow("no tag", answer);
    release["spec"]["source"]["tag"] = json!("v1.42.0");
    let answer = create(&bare.bob, story.namespace, release.clone(), true).await;
    story.allow("its tag", answer);
    for tag in ["v1.41.3", "1.42.0", "refs/tags/v1.42.0", ""] {
        release["spec"]["source"]["tag"] = json!(tag);
        let answer = create(&bare.bob, story.namespace, release.clone(), true).await;
        let words = "spec.source.tag is v and spec.version, or is left out";
        story.deny(tag, words, answer);
    }
    story.end(6)
}
