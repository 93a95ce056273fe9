//! `abort`: ends a promotion.

use lockmaster_api::Promotion;
use lockmaster_core::status::State;

use super::{FIELD_MANAGER, confirmed};
use crate::args::Abort;
use crate::cluster::Cluster;
use crate::failure::{Exit, Failure};
use crate::output;

/// Runs it.
pub(super) async fn run(arguments: Abort) -> anyhow::Result<Exit> {
    let Abort {
        promotion: name,
        yes,
        connection,
    } = arguments;
    let cluster = Cluster::connect(&connection).await?;
    let promotion: Promotion = cluster.get(&name).await?;
    let status = promotion.status.clone().unwrap_or_default();
    let word = status.state.meaning().word;
    if status.state == State::Aborted {
        output::note(&format!("{name} is aborted already"));
        return Ok(Exit::Done);
    }
    if status.record.is_some() {
        let text = format!("{name} is over ({word}): there is nothing to abort");
        return Err(Failure::usage(text).into());
    }
    let effect = if status.state.meaning().reconciling {
        "what ran before is brought back, if it has a record of success"
    } else {
        "nothing was changed yet, so it just ends"
    };
    output::note(&format!(
        "Promotion {}/{name} into {} is {word}: {effect}. It cannot be taken up again.",
        cluster.namespace(),
        promotion.spec.environment
    ));
    if !yes && !confirmed("Abort it?").await? {
        return Err(Failure::usage("nothing was written").into());
    }
    let patch = serde_json::json!({"spec": {"abort": true}});
    let _: Promotion = cluster.merge(&name, &patch, FIELD_MANAGER).await?;
    output::result(&format!("promotion.lockmaster.dev/{name} aborted\n"))?;
    let namespace = cluster.namespace();
    output::note(&format!(
        "see how it ends: kubectl promote explain {name} -n {namespace}"
    ));
    Ok(Exit::Done)
}
