//! Registries that ask who one is: what a tenant's pull secrets open, and to whom.

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lockmaster_core::reason::Reason;
use lockmaster_core::status::{PromotionStatus, State};
use lockmaster_tests::bed::Bed;
use lockmaster_tests::cluster::NAMESPACE;
use lockmaster_tests::cosign::Format;
use lockmaster_tests::evidence::{Provenance, spdx};
use lockmaster_tests::image::Image;
use lockmaster_tests::proxy::Exchange;
use lockmaster_tests::registry::{Account, Registry, TENANT_A, TENANT_B};
use lockmaster_tests::shop::{BUILDER, COMMIT, REPOSITORY, Rules, Shop};
use serde_json::{Value, json};

use super::registries::{GATES, all_valid, bundles_of};
use super::{Tenant, named, nothing_written, report, unasking};

/// Name of the pull secret of who may read.
const SECRET: &str = "registry-login";

/// CNCF distribution with htpasswd: evidence lies under fallback tags, and is read with the pull
/// secret that the Environment names.
pub(super) async fn passwords(bed: &Bed) -> anyhow::Result<()> {
    let registry = bed.password_registry.started().await?;
    let tenant = Tenant::open(bed, "tenancy-passwords", &unasking()).await?;
    reads_what_is_its_own(&tenant, registry, "tenant-a/passwords").await?;
    let asked = asked_by_the_operator(registry, "tenant-a/passwords");
    let (right, none) = (TENANT_A.authorization(), String::new());
    let allowed = [&right, &none];
    let strange = asked
        .iter()
        .find(|one| !allowed.contains(&&one.authorization));
    ensure!(strange.is_none(), "another login was shown: {strange:?}");
    ensure!(
        asked.iter().any(|one| one.status == Some(200)),
        "expected the operator to read, saw {asked:?}"
    );
    Ok(())
}

/// The same where the registry wants a token of its token service: the login is shown to that alone.
pub(super) async fn tokens(bed: &Bed) -> anyhow::Result<()> {
    let guarded = &bed.token_registry;
    let registry = guarded.registry.started().await?;
    let tenant = Tenant::open(bed, "tenancy-tokens", &unasking()).await?;
    reads_what_is_its_own(&tenant, registry, "tenant-a/tokens").await?;
    let asked = asked_by_the_operator(registry, "tenant-a/tokens");
    let shown = asked
        .iter()
        .find(|one| one.authorization.starts_with("Basic"));
    ensure!(shown.is_none(), "the password was shown: {shown:?}");
    ensure!(
        asked.iter().any(|one| one.status == Some(200)),
        "expected the operator to read, saw {asked:?}"
    );
    let scope = "repository:tenant-a/tokens:pull".to_owned();
    let tokens = guarded.tokens.requests();
    let ours = tokens.iter().find(|one| one.granted == [scope.clone()]);
    ensure!(
        ours.is_some_and(|one| one.account == Some(TENANT_A.name)),
        "expected a token for {scope}, saw {tokens:?}"
    );
    Ok(())
}

/// An image that one tenant may read and another may not, although the policies allow both to ask for
/// it: not with nothing, not with a login of the other's own, not with the name of the first one's
/// Secret. That everything about it is in memory changes nothing.
pub(super) async fn private(bed: &Bed) -> anyhow::Result<()> {
    const PATH: &str = "tenant-a/vault";
    let registry = bed.token_registry.registry.started().await?;
    let owner = Tenant::open(bed, "tenancy-keeper", &unasking()).await?;
    let image = reads_what_is_its_own(&owner, registry, PATH).await?;
    let bundles = bundles_of(&owner, &["staging"]).await?;

    let reader = Tenant::open(bed, "tenancy-reader", &unasking()).await?;
    reader.may_promote("staging").await?;
    let listed = format!("{}/{PATH}", registry.address());
    let allows = policy(&reader.shop, "allows", Some(&listed))?;
    reader.shop.apply(&[allows]).await?;
    let released = reader.create(&reader.shop.release("1.0.0", &image)).await?;
    released.required("create a Release as the editor")?;
    give_login(&reader, "own", &TENANT_B, &registry.address()).await?;
    let before = asked_by_the_operator(registry, PATH).len();
    reader.promote("peek", "1.0.0", "staging").await?;
    for (secrets, words) in [
        (&[][..], "name a pull secret in spec.pullSecrets"),
        (&["own"], "may not read this repository"),
        (&[SECRET], "Secret tenancy-reader/registry-login"),
        (&["own", SECRET], "Secret tenancy-reader/registry-login"),
    ] {
        reads_with(&reader, secrets).await?;
        let status = says(&reader.shop, "peek", Reason::RegistryUnavailable, words).await?;
        nothing_judged(&status)?;
    }
    let asked = asked_by_the_operator(registry, PATH).split_off(before);
    // Without a referrers API it answers 404 there, whoever asks.
    let is_refused = |one: &Exchange| match one.status {
        Some(401) => true,
        Some(404) => one.path.contains("/referrers/"),
        Some(_) | None => false,
    };
    ensure!(
        asked.len() > 1 && asked.iter().all(is_refused),
        "expected refusals and nothing else, saw {asked:?}"
    );

    // Who is not even in the sources asks nobody.
    let before = asked_by_the_operator(registry, PATH).len();
    let forbids = policy(&reader.shop, "forbids", None)?;
    reader.shop.apply(&[forbids]).await?;
    let kind = "clusterpromotionpolicies.lockmaster.dev";
    let arguments = ["delete", kind, "tenancy-reader-allows"];
    let deleted = reader
        .shop
        .kubectl_as(bed.cluster.admin(), &arguments)
        .await?;
    deleted.required("delete a policy")?;
    let words = "no policy gives it to product checkout in namespace tenancy-reader";
    let status = says(&reader.shop, "peek", Reason::SourceNotAllowed, words).await?;
    nothing_judged(&status)?;
    let asked = asked_by_the_operator(registry, PATH).split_off(before);
    ensure!(asked.is_empty(), "it was asked for: {asked:?}");

    let mut foreign: Vec<&str> = bundles.iter().map(String::as_str).collect();
    foreign.extend([owner.shop.name.as_str(), TENANT_A.password]);
    reader.reads_nothing_of(&foreign).await?;
    nothing_written(&[&reader.shop])
}

fn nothing_judged(status: &PromotionStatus) -> anyhow::Result<()> {
    for name in GATES {
        let found = report(status, name)?;
        if !found.evidence.is_empty() || found.verdict.is_open() {
            bail!("it is judged by what is not this tenant's: {found:?}");
        }
    }
    Ok(())
}

/// Waits until the gate of signatures says this.
async fn says(
    shop: &Shop<'_>,
    name: &str,
    reason: Reason,
    words: &str,
) -> anyhow::Result<PromotionStatus> {
    let said = |status: &PromotionStatus| {
        let mut gates = status.gates.iter();
        gates.any(|gate| {
            gate.name == "signature" && gate.reason == reason && gate.message.contains(words)
        })
    };
    let status = shop.wait(name, said).await;
    status.with_context(|| format!("expected {reason} and \"{words}\""))
}

/// A tenant's own image in a registry that asks, through the editor's own Secret, from the Release to
/// what runs in staging.
async fn reads_what_is_its_own(
    tenant: &Tenant<'_>,
    registry: &Registry,
    path: &str,
) -> anyhow::Result<Image> {
    let shop = &tenant.shop;
    let listed = format!("{}/{path}", registry.address());
    shop.apply(&[policy(shop, "private", Some(&listed))?])
        .await?;
    let image = proven(shop, registry, path, "1.0.0").await?;
    let released = tenant.create(&shop.release("1.0.0", &image)).await?;
    released.required("create a Release as the editor")?;
    give_login(tenant, SECRET, &TENANT_A, &registry.address()).await?;
    reads_with(tenant, &[SECRET]).await?;
    for stage in ["dev", "staging"] {
        tenant.may_promote(stage).await?;
        tenant.promote(stage, "1.0.0", stage).await?;
        let status = shop.wait_for(stage, State::Succeeded).await?;
        if stage == "staging" {
            all_valid(&status)?;
        }
    }
    let runs = shop.image_of("staging").await?;
    ensure!(runs == image.reference(), "staging runs {runs}");
    Ok(image)
}

/// An image with everything that the policies ask for, pushed and signed as [`TENANT_A`].
async fn proven(
    shop: &Shop<'_>,
    registry: &Registry,
    path: &str,
    version: &str,
) -> anyhow::Result<Image> {
    let bed = shop.bed;
    let account = Some(&TENANT_A);
    let image = Image::push_as(&bed.tools, registry, path, &shop.name, account).await?;
    // Logins of its own: other tests log the same account in elsewhere.
    let directory = tempfile::tempdir().context("failed to make a directory")?;
    let cosign = lockmaster_tests::cosign::Cosign::new(&bed.tools, directory.path());
    let cosign = cosign.logged_in(&registry.address(), &TENANT_A)?;
    let (release, ci) = (&bed.keys.release, &bed.keys.ci);
    cosign.sign(&image, release, Format::Bundle).await?;
    let says = Provenance::new(REPOSITORY, version, COMMIT, BUILDER).predicate();
    for (kind, predicate) in [
        ("slsaprovenance1", &says),
        ("spdxjson", &spdx("checkout", 3)),
    ] {
        cosign
            .attest(&image, ci, kind, predicate, Format::Bundle)
            .await?;
    }
    Ok(image)
}

/// The evidence that shops are asked for, with one more repository that images may come from.
fn policy(shop: &Shop<'_>, name: &str, listed: Option<&str>) -> anyhow::Result<Value> {
    let mut policies = shop.policies(&Rules::default()).into_iter();
    let policy = policies.next().context("no policy")?;
    let mut policy = named(policy, &format!("{}-{name}", shop.name));
    let repositories = policy.pointer_mut("/spec/sources/0/imageRepositories");
    let repositories = repositories.and_then(Value::as_array_mut);
    let repositories = repositories.context("the policy has no sources")?;
    repositories.extend(listed.map(Value::from));
    Ok(policy)
}

/// The editor keeps a login in a Secret, and the owner of the namespace lets the operator get it.
pub(super) async fn give_login(
    tenant: &Tenant<'_>,
    name: &str,
    account: &Account,
    registry: &str,
) -> anyhow::Result<()> {
    let shop = &tenant.shop;
    let config = account.docker_config(registry).to_string();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
        "metadata": {"name": name, "namespace": shop.name},
        "data": {".dockerconfigjson": STANDARD.encode(config)},
    });
    let created = tenant.create(&secret).await?;
    created.required("create a Secret as the editor")?;
    let group = "rbac.authorization.k8s.io";
    let metadata = json!({"name": format!("reads-{name}"), "namespace": shop.name});
    let role = json!({
        "apiVersion": format!("{group}/v1"), "kind": "Role", "metadata": metadata,
        "rules": [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": [name],
                   "verbs": ["get"]}],
    });
    let binding = json!({
        "apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": metadata,
        "roleRef": {"apiGroup": group, "kind": "Role", "name": format!("reads-{name}")},
        "subjects": [{"kind": "ServiceAccount", "name": "lockmaster", "namespace": NAMESPACE}],
    });
    shop.apply(&[role, binding]).await
}

/// Evidence for staging is read with these Secrets.
pub(super) async fn reads_with(tenant: &Tenant<'_>, secrets: &[&str]) -> anyhow::Result<()> {
    let mut environment = tenant.shop.environment("staging");
    environment["spec"]["pullSecrets"] = json!(secrets);
    tenant.shop.apply(&[environment]).await
}

/// What the operator asked a registry about one repository.
fn asked_by_the_operator(registry: &Registry, path: &str) -> Vec<Exchange> {
    let repository = format!("/v2/{path}/");
    let mut asked = registry.requests();
    asked.retain(|one| {
        one.user_agent.starts_with("lockmaster/") && one.path.starts_with(&repository)
    });
    asked
}
