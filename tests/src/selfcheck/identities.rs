//! Who somebody is, what the audit log says of them, and what the chart gives them.

use anyhow::{bail, ensure};

use crate::Bed;
use crate::workloads::deployment;

pub(crate) async fn people_and_accounts_are_who_they_are(bed: &Bed) -> anyhow::Result<()> {
    let alice = bed
        .cluster
        .person("alice@corp", &["release-managers", "people"])
        .await?;
    let account = bed
        .cluster
        .service_account("lockmaster-system", "lockmaster")
        .await?;
    for (person, group) in [
        (&alice, "release-managers"),
        (&alice, "people"),
        (&account, ""),
    ] {
        let arguments = ["auth", "whoami", "-o", "json"];
        let output = bed
            .cluster
            .kubectl(&person.kubeconfig, &arguments, None)
            .await?;
        let text = output.required("ask who I am")?.stdout;
        ensure!(
            text.contains(&person.name) && text.contains(group),
            "{text}"
        );
    }
    let arguments = ["get", "pods"];
    let output = bed
        .cluster
        .kubectl(&alice.kubeconfig, &arguments, None)
        .await?;
    ensure!(
        output.stderr.contains("Forbidden"),
        "alice has rights: {output:?}"
    );
    let arguments = [
        "get",
        "mutatingadmissionpolicies.v1.admissionregistration.k8s.io",
    ];
    let admin = &bed.cluster.admin().kubeconfig;
    bed.cluster
        .kubectl(admin, &arguments, None)
        .await?
        .required("see mutating policies v1")?;
    Ok(())
}

pub(crate) async fn the_audit_log_tells_who_changed_what(bed: &Bed) -> anyhow::Result<()> {
    bed.cluster.apply(&deployment("audited", &bed.good)).await?;
    let log = bed.cluster.audit_log()?;
    let mine = log.matching(|event| {
        event.name == "audited" && event.user == "admin" && event.is_mutation()
    })?;
    let [event] = mine.as_slice() else {
        bail!("not one event: {mine:?}")
    };
    ensure!(event.verb == "patch" && event.code == 201, "{event:?}");
    ensure!(event.user_agent.starts_with("kubectl/"), "{event:?}");
    ensure!(event.request_object.is_some(), "no body: {event:?}");
    Ok(())
}

pub(crate) async fn the_chart_installs(bed: &Bed) -> anyhow::Result<()> {
    bed.cluster.install_chart(&[]).await?;
    let admin = &bed.cluster.admin().kubeconfig;
    let arguments = ["get", "promotionrecords.lockmaster.dev", "--all-namespaces"];
    bed.cluster
        .kubectl(admin, &arguments, None)
        .await?
        .required("list records")?;
    let arguments = [
        "get",
        "mutatingadmissionpolicies,deployments",
        "-A",
        "-o",
        "name",
    ];
    let output = bed
        .cluster
        .kubectl(admin, &arguments, None)
        .await?
        .required("list policies")?;
    ensure!(
        output.stdout.contains("mutatingadmissionpolicy"),
        "no stamp: {output:?}"
    );
    let arguments = ["get", "pods", "-n", "lockmaster-system", "-o", "name"];
    let output = bed
        .cluster
        .kubectl(admin, &arguments, None)
        .await?
        .required("list pods")?;
    ensure!(
        output.stdout.is_empty(),
        "kwok pretends to run the operator: {}",
        output.stdout
    );
    Ok(())
}
