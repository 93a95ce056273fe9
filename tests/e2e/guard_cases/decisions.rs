//! Decisions of people: what an approval must say, who may write it, and who may take it away.

use kube::api::{Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use lockmaster_api::Promotion;
use lockmaster_tests::cluster::Person;
use serde_json::{Value, json};

use super::{INSTANT, Story, digest};
use crate::beds::Bare;

pub(super) const SLOT: &str = "approval.lockmaster.dev/release-manager";
const SECOND: &str = "approval.lockmaster.dev/release-manager.2";

/// A decision in the grammar, about the plan that [`planned`] publishes.
pub(super) fn decision(verb: &str, by: &str, reason: &str) -> String {
    let plan = digest("ab");
    format!("{verb};by={by};plan={plan};ref=CHG-1;reason={reason}")
}

/// A plan, and who requested it.
pub(super) fn planned() -> Value {
    let other = digest("c1");
    json!({
        "requestedBy": {"name": "bob@corp", "kind": "Person"},
        "plan": {
            "hash": digest("ab"), "content": other, "guardEpoch": other,
            "mintedAt": INSTANT, "preimage": "{}",
        },
    })
}

/// Decisions of alice, recorded.
pub(super) fn latched(verbs: &[&str]) -> Value {
    let approval = |verb: &&str| {
        json!({
            "by": "alice@corp", "slot": "release-manager", "role": "release-manager",
            "decision": verb, "content": digest("c1"), "at": INSTANT,
            "reason": "go", "ref": "", "source": "Annotation",
        })
    };
    json!({"approvals": verbs.iter().map(approval).collect::<Vec<_>>()})
}

/// Approval annotations, from before there is a plan to after they were recorded.
pub(super) async fn decisions(bare: &Bare) -> anyhow::Result<()> {
    let mut story = Story::begin(bare, "guard-decisions").await?;
    let Bare { alice, bob, .. } = bare;
    let genuine = decision("approve", "alice@corp", "CHG-1042 go");

    let born = json!({SLOT: decision("approve", "bob@corp", "abcdefgh")});
    let answer = story.promote(bob, "p2", json!({}), born).await;
    story.guard("approval", "V1 ", "born approved", answer);
    let answer = story.promote(bob, "p1", json!({}), Value::Null).await;
    story.allow("created", answer);
    let answer = story.annotate(alice, "p1", json!({SLOT: genuine})).await;
    story.guard("approval", "V5 ", "approved before there is a plan", answer);
    let answer = story.patch_status::<Promotion>(bob, "p1").await;
    let rule = "only the operator writes this";
    story.guard("status", rule, "status by an editor", answer);
    let answer = story.report("p1", planned()).await;
    story.allow("status by the operator", answer);

    shapes(&mut story, bare).await;
    writers(&mut story, bare, &genuine).await?;
    slots(&mut story, bare, &genuine).await;
    story.end(30)
}

/// What does not look like a decision, or is about something else.
async fn shapes(story: &mut Story<'_>, bare: &Bare) {
    let plan = digest("ab");
    let long = "x".repeat(1100);
    let value = |text: &str| format!("approve;by=alice@corp;plan={plan};ref=;reason={text}");
    let cases = [
        ("V3 ", "empty reason", value("")),
        ("V3 ", "too long", value(&long)),
        ("V3 ", "control character", value("line one\nline two")),
        ("V3 ", "free text", "yes please".to_owned()),
        (
            "V3 ",
            "no references",
            format!("approve;by=alice@corp;plan={plan};reason=CHG-1042 go"),
        ),
        (
            "V3 ",
            "another verb",
            value("CHG-1042 go").replace("approve;", "permit;"),
        ),
        (
            "V4 ",
            "somebody else's name",
            decision("approve", "carol@corp", "CHG-1042 go"),
        ),
        (
            "V5 ",
            "another plan",
            value("CHG-1042 go").replace(&plan, "sha256:old"),
        ),
    ];
    for (rule, case, value) in cases {
        let alice = &bare.alice;
        let answer = story.annotate(alice, "p1", json!({SLOT: value})).await;
        story.guard("approval", rule, case, answer);
    }
}

/// Who may not decide.
async fn writers(story: &mut Story<'_>, bare: &Bare, genuine: &str) -> anyhow::Result<()> {
    let Bare { alice, bob, .. } = bare;
    let admin = bare.cluster.admin();
    let value = decision("approve", "bob@corp", "CHG-1042 go");
    let answer = story.annotate(bob, "p1", json!({SLOT: value})).await;
    story.guard("approval", "V7 ", "the requester", answer);
    let security = "approval.lockmaster.dev/security";
    let answer = story
        .annotate(alice, "p1", json!({security: genuine}))
        .await;
    story.guard("approval", "V9 ", "a role without the right", answer);
    let both = json!({SLOT: genuine, SECOND: genuine});
    let answer = story.annotate(alice, "p1", both).await;
    story.guard("approval", "V2 ", "two at once", answer);
    let value = decision("approve", "admin", "CHG-1042 go");
    let answer = story.annotate(admin, "p1", json!({SLOT: value})).await;
    story.guard("approval", "V6 ", "the superuser", answer);

    let file = Kubeconfig::read_from(&bob.kubeconfig)?;
    let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
    config.auth_info.impersonate = Some("alice@corp".to_owned());
    let pretender = Person {
        client: Client::try_from(config)?,
        ..bob.clone()
    };
    let answer = story
        .annotate(&pretender, "p1", json!({SLOT: genuine}))
        .await;
    story.deny(
        "impersonation without the right",
        "cannot impersonate",
        answer,
    );
    Ok(())
}

/// One person, one slot; and what happens to a decision afterwards.
async fn slots(story: &mut Story<'_>, bare: &Bare, genuine: &str) {
    let Bare {
        alice, bob, carol, ..
    } = bare;
    let api = story.api::<Promotion>(alice);
    let body = json!({"metadata": {"annotations": {SLOT: genuine}}});
    let parameters = PatchParams {
        dry_run: true,
        ..PatchParams::default()
    };
    let answer = api.patch("p1", &parameters, &Patch::Merge(body)).await;
    story.allow("genuine, dry run", answer);
    let value = format!("{genuine}; and by=eve;x");
    let answer = story.annotate(alice, "p1", json!({SLOT: value})).await;
    story.allow("genuine, reason with ; and by=", answer);
    let answer = story.annotate(alice, "p1", json!({SECOND: genuine})).await;
    story.guard(
        "approval",
        "V8 ",
        "a second slot by the same person",
        answer,
    );
    let value = decision("reject", "carol@corp", "CHG-1042 no");
    let answer = story.annotate(carol, "p1", json!({SLOT: value})).await;
    story.guard("approval", "V11 ", "another person's decision", answer);
    let value = decision("approve", "carol@corp", "CHG-1042 go");
    let answer = story.annotate(carol, "p1", json!({SECOND: value})).await;
    story.allow("a second slot by a second person", answer);
    let answer = story.report("p1", latched(&["approve"])).await;
    story.allow("recorded by the operator", answer);
    let stripped = json!({SLOT: null, SECOND: null});
    let answer = story.annotate(bob, "p1", stripped).await;
    story.allow("approvals removed, as GitOps tools do", answer);
    let answer = story.annotate(alice, "p1", json!({SECOND: genuine})).await;
    story.guard("approval", "V8 ", "a second slot after the first", answer);
    let value = decision("reject", "alice@corp", "not today");
    let answer = story.annotate(alice, "p1", json!({SLOT: value})).await;
    story.allow("her mind changed", answer);
    let answer = story.annotate(bob, "p1", json!({SLOT: null})).await;
    story.guard(
        "approval",
        "V12 ",
        "an unrecorded rejection removed",
        answer,
    );
    let answer = story.report("p1", latched(&["approve", "reject"])).await;
    story.allow("rejection recorded", answer);
    let answer = story.annotate(bob, "p1", json!({SLOT: null})).await;
    story.allow("a recorded rejection removed", answer);
}

/// Present and null are different things to CEL, and the same thing to everybody else.
pub(super) async fn nulls(bare: &Bare) -> anyhow::Result<()> {
    let mut story = Story::begin(bare, "guard-nulls").await?;
    let Bare { alice, bob, .. } = bare;
    let nulls = json!({"rollout": {"intent": null}, "requestedBy": null, "plan": null});
    for (number, status) in [nulls, Value::Null, json!({})].into_iter().enumerate() {
        let name = format!("n{number}");
        let answer = story.promote(bob, &name, json!({}), Value::Null).await;
        story.allow("created", answer);
        let answer = story.report(&name, status).await;
        story.allow("status", answer);
        let key = "lockmaster.dev/requested-by";
        let answer = story.annotate(bob, &name, json!({key: null})).await;
        story.guard("approval", "V10 ", "requester not recorded", answer);
        for plan in ["sha256:a", ""] {
            let value = format!("approve;by=alice@corp;plan={plan};ref=;reason=xxxxxxxx");
            let answer = story.annotate(alice, &name, json!({SLOT: value})).await;
            story.guard("approval", "V5 ", "no plan", answer);
        }
        let api = story.api::<Promotion>(alice);
        let mut object = api.get(&name).await?;
        object.data["spec"]["abort"] = Value::Null;
        let answer = api.replace(&name, &PostParams::default(), &object).await;
        story.allow("abort: null is no abort", answer);
        let answer = story.delete::<Promotion>(bob, &name).await;
        story.allow("deleted", answer);
    }
    story.end(21)
}
