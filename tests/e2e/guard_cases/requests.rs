//! Requests: who may make, abort and delete a Promotion, and whose name stands on it.

use lockmaster_api::Promotion;
use serde_json::{Value, json};

use super::decisions::{SLOT, decision, latched, planned};
use super::{INSTANT, Story, digest};
use crate::beds::Bare;

const REQUESTED_BY: &str = "lockmaster.dev/requested-by";

/// The status of a Promotion whose roll-out has begun.
fn rolling_out() -> Value {
    json!({
        "requestedBy": {"name": "bob@corp", "kind": "Person"},
        "rollout": {"intent": {"at": INSTANT, "attempt": 1, "targets": []}},
    })
}

/// Creating, changing and aborting.
pub(super) async fn requests(bare: &Bare) -> anyhow::Result<()> {
    let mut story = Story::begin(bare, "guard-requests").await?;
    let Bare { alice, bob, .. } = bare;
    let answer = story.promote(alice, "p0", json!({}), Value::Null).await;
    let rule = "user alice@corp may not promote into prod";
    story.guard("promote", rule, "without promote", answer);
    let elsewhere = json!({"environment": "staging"});
    let answer = story.promote(bob, "p0", elsewhere, Value::Null).await;
    let rule = "user bob@corp may not promote into staging";
    story.guard("promote", rule, "into another Environment", answer);
    let answer = story.promote(bob, "p1", json!({}), Value::Null).await;
    story.allow("with promote", answer);
    let body = json!({"metadata": {"labels": {"a": "b"}}});
    let answer = story.patch::<Promotion>(alice, "p1", body).await;
    story.allow("an unrelated label", answer);
    let body = json!({"spec": {"release": "other"}});
    let answer = story.patch::<Promotion>(bob, "p1", body).await;
    story.deny("another release", "a Promotion never changes", answer);

    let abort = |abort: bool| json!({"spec": {"abort": abort}});
    let answer = story.patch::<Promotion>(alice, "p1", abort(true)).await;
    story.guard("approval", "V13 ", "abort without promote", answer);
    let answer = story.patch::<Promotion>(alice, "p1", abort(false)).await;
    story.allow("abort: false is no abort", answer);
    let born = json!({"abort": true});
    let answer = story.promote(alice, "p2", born, Value::Null).await;
    // Two guards refuse this; either may answer first.
    story.deny(
        "born aborting",
        "ValidatingAdmissionPolicy 'lockmaster-",
        answer,
    );
    let answer = story.patch::<Promotion>(bob, "p1", abort(true)).await;
    story.allow("abort with promote", answer);
    let answer = story.patch::<Promotion>(bob, "p1", abort(false)).await;
    let rule = "an aborted Promotion stays aborted";
    story.deny("abort taken back", rule, answer);
    story.end(10)
}

/// The name of the requester: stamped, true, and there until it is recorded.
pub(super) async fn requesters(bare: &Bare) -> anyhow::Result<()> {
    let mut story = Story::begin(bare, "guard-requesters").await?;
    let Bare { alice, bob, .. } = bare;
    let stamped = story.promote(bob, "p1", json!({}), Value::Null).await;
    let stamped = stamped.map(|object| object.metadata.annotations.unwrap_or_default());
    let right = stamped.map(|annotations| {
        let name = annotations.get(REQUESTED_BY).map(String::as_str);
        (name == Some("bob@corp")).then_some(())
    });
    let right = right
        .map_err(|error| error.to_string())
        .and_then(|right| right.ok_or_else(|| "no stamp, or another name".to_owned()));
    story.allow("stamped with the creator", right);
    let own = json!({REQUESTED_BY: "bob@corp"});
    let answer = story.promote(bob, "p2", json!({}), own).await;
    story.allow("created with the true name", answer);
    let other = json!({REQUESTED_BY: "carol@corp"});
    let answer = story.promote(bob, "p3", json!({}), other.clone()).await;
    story.guard("approval", "V10 ", "created with a false name", answer);
    let answer = story.annotate(alice, "p2", other.clone()).await;
    story.guard("approval", "V10 ", "changed", answer);
    let removed = json!({REQUESTED_BY: null});
    let answer = story.annotate(bob, "p2", removed.clone()).await;
    story.guard("approval", "V10 ", "removed before it is recorded", answer);
    let answer = story.report("p2", rolling_out()).await;
    story.allow("recorded", answer);
    let answer = story.annotate(alice, "p2", other).await;
    story.guard("approval", "V10 ", "changed after it is recorded", answer);
    let answer = story.annotate(bob, "p2", removed).await;
    story.allow("removed after it is recorded", answer);
    story.end(8)
}

/// Deleting: not while the roll-out is open, unless the whole namespace goes.
pub(super) async fn deletion(bare: &Bare) -> anyhow::Result<()> {
    let mut story = Story::begin(bare, "guard-deletion").await?;
    let bob = &bare.bob;
    for name in ["idle", "open"] {
        let answer = story.promote(bob, name, json!({}), Value::Null).await;
        story.allow("created", answer);
    }
    let answer = story.report("open", rolling_out()).await;
    story.allow("roll-out begun", answer);
    let rule = "a roll-out is under way; abort it first (spec.abort: true)";
    let answer = story.delete::<Promotion>(bob, "open").await;
    story.guard("delete", rule, "deleted during the roll-out", answer);
    let admin = bare.cluster.admin();
    let answer = story.delete::<Promotion>(admin, "open").await;
    story.guard("delete", rule, "deleted by the superuser", answer);
    let answer = story.delete::<Promotion>(bob, "idle").await;
    story.allow("deleted before", answer);
    let answer = story.delete_all::<Promotion>(bob).await;
    story.guard("delete", rule, "deleted as a collection", answer);
    let answer = story.create(&bare.account, super::record("r1")).await;
    story.allow("record by the operator", answer);

    let answer = story.delete_namespace().await;
    story.allow("the namespace with a record and an open roll-out", answer);
    story.end(9)
}

/// Deleting what was rejected, and creating it again, is no second try: it stays until there is a
/// record.
pub(super) async fn rejection(bare: &Bare) -> anyhow::Result<()> {
    let mut story = Story::begin(bare, "guard-rejection").await?;
    let Bare { alice, bob, .. } = bare;
    let admin = bare.cluster.admin();
    let rule = "it was rejected, and that is not recorded yet";
    for name in ["approved", "annotated", "latched"] {
        let answer = story.promote(bob, name, json!({}), Value::Null).await;
        story.allow("created", answer);
        let answer = story.report(name, planned()).await;
        story.allow("planned", answer);
    }
    let yes = json!({SLOT: decision("approve", "alice@corp", "CHG-1042 go")});
    let answer = story.annotate(alice, "approved", yes).await;
    story.allow("approved", answer);
    let answer = story.delete::<Promotion>(bob, "approved").await;
    story.allow("an approval is no reason to stay", answer);

    let no = json!({SLOT: decision("reject", "alice@corp", "not today")});
    let answer = story.annotate(alice, "annotated", no).await;
    story.allow("rejected", answer);
    let answer = story
        .report("latched", latched(&["approve", "reject"]))
        .await;
    story.allow("a rejection that is latched", answer);
    for name in ["annotated", "latched"] {
        for who in [bob, alice, admin] {
            let answer = story.delete::<Promotion>(who, name).await;
            story.guard("delete", rule, name, answer);
        }
    }
    let answer = story.delete_all::<Promotion>(bob).await;
    story.guard("delete", rule, "deleted as a collection", answer);
    let record = json!({"record": {
        "name": "prod-000001", "hash": digest("ab"), "outcome": "Rejected",
    }});
    let answer = story.report("latched", record).await;
    story.allow("recorded", answer);
    let answer = story.delete::<Promotion>(bob, "latched").await;
    story.allow("deleted after it is recorded", answer);
    // Without its Environment it would never be recorded.
    let ready = json!({
        "type": "Ready", "status": "False", "reason": "EnvironmentNotFound", "message": "create it",
        "lastTransitionTime": INSTANT, "observedGeneration": 1,
    });
    let answer = story
        .report("annotated", json!({"conditions": [ready]}))
        .await;
    story.allow("its Environment is gone", answer);
    let answer = story.delete::<Promotion>(bob, "annotated").await;
    story.allow("deleted where nothing will be recorded", answer);
    let answer = story
        .promote(bob, "once-more", json!({}), Value::Null)
        .await;
    story.allow("created in its place", answer);
    let rejected = latched(&["reject"]);
    let answer = story.report("once-more", rejected).await;
    story.allow("rejected in its place", answer);
    let answer = story.delete_namespace().await;
    story.allow("the namespace with a rejection", answer);
    story.end(24)
}
