//! The proxy between a client and the API server.

use std::time::Instant;

use anyhow::{bail, ensure};
use kube::Api;
use lockmaster_tests::cluster;
use lockmaster_tests::proxy::{Exchange, Proxy};

use crate::{Bed, PATIENCE};

pub(crate) async fn a_proxy_counts_holds_and_cuts(bed: &Bed) -> anyhow::Result<()> {
    let proxy = Proxy::tls(bed.cluster.server(), bed.cluster.authority()).await?;
    let url = proxy.url();
    let account = bed
        .cluster
        .service_account_through(&url, "proxied", "writer")
        .await?;
    bed.cluster.apply(PROXIED_RIGHTS).await?;
    let write = async |name: &'static str| {
        let arguments = ["create", "configmap", name, "-n", "proxied"];
        bed.cluster
            .kubectl(&account.kubeconfig, &arguments, None)
            .await
    };
    let exists = async |name: &'static str| {
        let admin = &bed.cluster.admin().kubeconfig;
        let arguments = ["get", "configmap", name, "-n", "proxied"];
        anyhow::Ok(
            bed.cluster
                .kubectl(admin, &arguments, None)
                .await?
                .success(),
        )
    };
    write("first").await?.required("write through the proxy")?;
    ensure!(proxy.count(Exchange::is_mutation) == 1, "not one mutation");

    let hold = proxy.hold_request(Exchange::is_mutation);
    let (output, checked) = tokio::join!(write("second"), async {
        hold.reached().await?;
        ensure!(!exists("second").await?, "a held request arrived");
        hold.release();
        anyhow::Ok(())
    });
    checked?;
    output?.required("write after a hold")?;

    let hold = proxy.hold_reply(2, Exchange::is_mutation);
    write("third")
        .await?
        .required("write before the second reply")?;
    let (output, checked) = tokio::join!(write("fourth"), async {
        let seen = hold.reached().await?;
        ensure!(seen.status == Some(201), "the reply is {:?}", seen.status);
        ensure!(exists("fourth").await?, "the write was held, not its reply");
        proxy.cut();
        anyhow::Ok(())
    });
    checked?;
    ensure!(
        !output?.success(),
        "the reply arrived although the connection was cut"
    );
    watch_is_streamed(&account, &write).await
}

/// Two events must arrive one after the other, not at the end of the watch.
async fn watch_is_streamed(
    account: &cluster::Person,
    write: &impl AsyncFn(&'static str) -> anyhow::Result<cluster::Output>,
) -> anyhow::Result<()> {
    use futures::StreamExt as _;
    use k8s_openapi::api::core::v1::ConfigMap;
    let maps: Api<ConfigMap> = Api::namespaced(account.client.clone(), "proxied");
    let mut events = Box::pin(maps.watch(&kube::api::WatchParams::default(), "0").await?);
    write("watched").await?.required("write while watching")?;
    let deadline = Instant::now() + PATIENCE;
    while let Ok(Some(event)) = tokio::time::timeout_at(deadline.into(), events.next()).await {
        if let kube::api::WatchEvent::Added(map) = event?
            && map.metadata.name.as_deref() == Some("watched")
        {
            return Ok(());
        }
    }
    bail!("the watch showed nothing")
}

const PROXIED_RIGHTS: &str = r"
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: { name: writer, namespace: proxied }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: admin }
subjects: [{ kind: ServiceAccount, name: writer, namespace: proxied }]
";
