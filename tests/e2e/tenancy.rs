//! One tenant beside another: what somebody with an editor's rights in one namespace can bring about,
//! and what there is to be read of others.
//!
//! Each test acts with that person's kubeconfig, and ends by asking the audit log of the API server
//! whether the operator wrote to a workload, and everything that the person may read whether there is
//! a word of somebody else in it.

use anyhow::{Context as _, bail, ensure};
use libtest_mimic::Trial;
use lockmaster_core::gate::GateReport;
use lockmaster_core::reason::Reason;
use lockmaster_core::status::{PromotionStatus, State};
use lockmaster_tests::bed::Bed;
use lockmaster_tests::cluster::{Output, Person};
use lockmaster_tests::shop::{Rules, Shop};
use serde_json::{Value, json};

use crate::beds::Beds;

mod logins;
mod places;
mod registries;
mod requests;

pub(crate) fn tests(beds: &Beds) -> Vec<Trial> {
    vec![
        beds.shared(
            "tenancy::cve_2021_41254_a_development_tier_opens_no_production",
            places::cve_2021_41254_a_development_tier_opens_no_production,
        ),
        beds.shared(
            "tenancy::cve_2026_22039_a_target_that_does_not_consent",
            places::cve_2026_22039_a_target_that_does_not_consent,
        ),
        beds.shared(
            "tenancy::cve_2026_27111_without_promote_nothing_is_asked",
            requests::cve_2026_27111_without_promote_nothing_is_asked,
        ),
        beds.shared(
            "tenancy::cve_2026_27112_each_of_a_list_counts_for_itself",
            requests::cve_2026_27112_each_of_a_list_counts_for_itself,
        ),
        beds.shared(
            "tenancy::cve_2019_11247_rules_are_not_reached_through_a_namespace",
            requests::cve_2019_11247_rules_are_not_reached_through_a_namespace,
        ),
        beds.shared(
            "tenancy::another_commit_fails_on_a_warm_digest",
            registries::warm,
        ),
        beds.shared(
            "tenancy::a_private_image_of_another_tenant",
            logins::private,
        ),
        beds.shared(
            "tenancy::what_one_tenant_is_denied_hides_nothing_from_others",
            registries::hidden,
        ),
        beds.shared(
            "tenancy::a_registry_with_passwords_is_read_with_pull_secrets",
            logins::passwords,
        ),
        beds.shared(
            "tenancy::a_registry_with_tokens_is_read_with_pull_secrets",
            logins::tokens,
        ),
    ]
}

/// A product in namespaces of its own, and somebody who may edit everything in the first of them and
/// nothing elsewhere: not promote, not approve, not see the workloads.
struct Tenant<'a> {
    shop: Shop<'a>,
    editor: Person,
}

impl<'a> Tenant<'a> {
    async fn open(bed: &'a Bed, name: &str, rules: &Rules) -> anyhow::Result<Self> {
        let shop = Shop::open(bed, name, rules).await?;
        let editor = bed.cluster.person(&format!("editor@{name}"), &[]).await?;
        let binding =
            |name: &str, kind: &str, role: &str| binding(&shop, &editor, name, kind, role);
        shop.apply(&[
            binding("editor-edits", "ClusterRole", "edit"),
            binding("editor-edits-promotions", "Role", "edit-everything"),
        ])
        .await?;
        let tenant = Self { shop, editor };
        tenant
            .wait_for_right("create", "promotions.lockmaster.dev")
            .await?;
        tenant.wait_for_right("create", "secrets").await?;
        tenant.is_nobody_elsewhere().await?;
        Ok(tenant)
    }

    /// RBAC takes a moment to know what was granted.
    async fn wait_for_right(&self, verb: &str, resource: &str) -> anyhow::Result<()> {
        let what = format!("{} to be allowed to {verb} {resource}", self.editor);
        let asked = ["auth", "can-i", verb, resource];
        self.shop
            .until(&what, async || {
                let answer = self.kubectl(&asked).await.ok()?;
                answer.success().then_some(())
            })
            .await
    }

    /// What the tests rest on: this person reads and writes nothing but in the namespace.
    async fn is_nobody_elsewhere(&self) -> anyhow::Result<()> {
        for verb in ["get", "patch"] {
            let elsewhere = self.shop.target_namespace("prod");
            let asked = ["auth", "can-i", verb, "deployments", "-n", &elsewhere];
            let answer = self.kubectl(&asked).await?;
            ensure!(
                !answer.success(),
                "{} may {verb} in {elsewhere}",
                self.editor
            );
        }
        let asked = ["auth", "can-i", "promote", "environments.lockmaster.dev"];
        let answer = self.kubectl(&asked).await?;
        ensure!(!answer.success(), "{} may promote", self.editor);
        Ok(())
    }

    /// The owner of the namespace lets the editor promote into one stage.
    async fn may_promote(&self, stage: &str) -> anyhow::Result<()> {
        let name = format!("editor-promotes-{stage}");
        let environment = self.shop.environment_name(stage);
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": {"name": name, "namespace": self.shop.name},
            "rules": [{"apiGroups": ["lockmaster.dev"], "resources": ["environments"],
                       "resourceNames": [environment], "verbs": ["promote"]}],
        });
        let binding = binding(&self.shop, &self.editor, &name, "Role", &name);
        self.shop.apply(&[role, binding]).await?;
        let named = format!("environments.lockmaster.dev/{environment}");
        self.wait_for_right("promote", &named).await
    }

    /// Runs kubectl in the namespace as the editor.
    async fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        self.shop.kubectl_as(&self.editor, arguments).await
    }

    /// Creates an object as the editor.
    async fn create(&self, object: &Value) -> anyhow::Result<Output> {
        self.shop.create_as(&self.editor, object).await
    }

    /// Creates a Promotion as the editor, who must be let.
    async fn promote(&self, name: &str, version: &str, stage: &str) -> anyhow::Result<String> {
        let promotion = named(self.shop.promotion(version, stage), name);
        let created = self.create(&promotion).await?;
        created.required(&format!("create Promotion {name} as the editor"))?;
        Ok(name.to_owned())
    }

    /// Sets fields of a stage's Environment, as the editor.
    async fn change(&self, stage: &str, spec: Value) -> anyhow::Result<Output> {
        let name = self.shop.environment_name(stage);
        let patch = json!({"spec": spec}).to_string();
        let kind = "environments.lockmaster.dev";
        self.kubectl(&["patch", kind, &name, "--type=merge", "-p", &patch])
            .await
    }

    /// Waits until a Promotion is held up by a gate for this reason.
    async fn held(
        &self,
        name: &str,
        gate: &str,
        reason: Reason,
    ) -> anyhow::Result<PromotionStatus> {
        let is_said = |status: &PromotionStatus| {
            let mut gates = status.gates.iter();
            status.state == State::Blocked
                && gates.any(|report| report.name == gate && report.reason == reason)
        };
        let status = self.shop.wait(name, is_said).await;
        status.with_context(|| format!("expected gate {gate} to say {reason}"))
    }

    /// Everything that the editor may read: objects, Events, and what the plugin makes of them.
    async fn readable(&self) -> anyhow::Result<String> {
        let kinds = "releases.lockmaster.dev,environments.lockmaster.dev,\
                     promotions.lockmaster.dev,promotionrecords.lockmaster.dev,events";
        let listed = self.kubectl(&["get", kinds, "-o", "yaml"]).await?;
        let mut seen = listed.required("read as the editor")?.stdout;
        for arguments in [&["status"][..], &["status", "-o", "yaml"]] {
            let told = self.shop.plugin_as(&self.editor, arguments).await?;
            seen.push_str(&told.stdout);
            seen.push_str(&told.stderr);
        }
        let kind = "promotions.lockmaster.dev";
        let names = self.kubectl(&["get", kind, "-o", "name"]).await?.stdout;
        for name in names.lines().filter_map(|line| line.split('/').next_back()) {
            let told = self
                .shop
                .plugin_as(&self.editor, &["explain", name])
                .await?;
            seen.push_str(&told.stdout);
            seen.push_str(&told.stderr);
        }
        Ok(seen)
    }

    /// There is no word of this in anything that the editor may read.
    async fn reads_nothing_of(&self, foreign: &[&str]) -> anyhow::Result<()> {
        let seen = self.readable().await?;
        let own = format!("namespace: {}", self.shop.name);
        ensure!(seen.contains(&own), "nothing was read: {seen}");
        for word in foreign {
            ensure!(!word.is_empty(), "nothing to look for");
            if let Some(line) = seen.lines().find(|line| line.contains(word)) {
                bail!("{} reads \"{word}\" of another tenant: {line}", self.editor);
            }
        }
        Ok(())
    }
}

fn binding(shop: &Shop<'_>, editor: &Person, name: &str, kind: &str, role: &str) -> Value {
    let group = "rbac.authorization.k8s.io";
    json!({
        "apiVersion": format!("{group}/v1"), "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": shop.name},
        "roleRef": {"apiGroup": group, "kind": kind, "name": role},
        "subjects": [{"apiGroup": group, "kind": "User", "name": editor.name}],
    })
}

/// The same object under another name.
fn named(mut object: Value, name: &str) -> Value {
    object["metadata"]["name"] = json!(name);
    object
}

/// The tenant's own stages ask for nothing.
fn unasking() -> Rules {
    Rules {
        evidence: false,
        ..Rules::default()
    }
}

/// What a gate says.
fn report<'a>(status: &'a PromotionStatus, name: &str) -> anyhow::Result<&'a GateReport> {
    let mut gates = status.gates.iter();
    let found = gates.find(|gate| gate.name == name);
    found.with_context(|| format!("expected a report of gate {name}, saw {:?}", status.gates))
}

/// A command must have been refused, in these words.
fn refused(what: &str, output: &Output, words: &str) -> anyhow::Result<()> {
    let said = format!("{}{}", output.stdout, output.stderr);
    ensure!(!output.success(), "{what}: expected a refusal, saw: {said}");
    ensure!(
        said.contains(words),
        "{what}: expected \"{words}\" in: {said}"
    );
    Ok(())
}

/// What the operator wrote beside the targets of these shops, as the API server has it: every apply,
/// every fence, and anything else that is none of its own kinds.
fn written(shops: &[&Shop<'_>]) -> anyhow::Result<Vec<String>> {
    let bed = shops.first().context("no shop")?.bed;
    let ours = |namespace: &str| {
        let mut prefixes = shops.iter().map(|shop| shop.target_namespace(""));
        prefixes.any(|prefix| namespace.starts_with(&prefix))
    };
    let events = bed.cluster.audit_log()?.matching(|event| {
        let account = event.group == "lockmaster.dev" || event.resource == "events";
        event.is_mutation()
            && event.user_agent.starts_with("lockmaster/")
            && ours(&event.namespace)
            && !account
    })?;
    let text = events
        .iter()
        .map(|event| format!("{} {}", event.verb, event.uri));
    Ok(text.collect())
}

/// The operator wrote to no workload of these shops, ever.
fn nothing_written(shops: &[&Shop<'_>]) -> anyhow::Result<()> {
    let written = written(shops)?;
    ensure!(written.is_empty(), "the operator wrote: {written:#?}");
    Ok(())
}
