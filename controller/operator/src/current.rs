//! Whether a look shows everything this process wrote: a pass on an older view ends at once.

use lockmaster_core::facts::{Cause, Observed, Workload};
use lockmaster_observe::observation::Observation;
use lockmaster_observe::records::named_after;

use crate::act::version_of;
use crate::written::{Kind, Written};

/// Whether the look shows everything this process wrote to what it looked at. What other
/// Environments wait for does not matter, and a write to what is gone is not waited for.
pub(crate) fn is_current(written: &Written, seen: &Observation) -> bool {
    shows_environment(written, seen)
        && shows_promotions(written, seen)
        && shows_records(written, seen)
        && shows_workloads(written, seen)
}

fn shows_environment(written: &Written, seen: &Observation) -> bool {
    let environment = &seen.environment;
    let version = seen.environment_object().and_then(version_of);
    written.is_seen(
        Kind::Environment,
        &environment.namespace,
        &environment.name,
        version,
    )
}

fn shows_promotions(written: &Written, seen: &Observation) -> bool {
    let namespace = &seen.environment.namespace;
    seen.promotions.iter().all(|promotion| {
        let version = seen.promotion_object(&promotion.uid).and_then(version_of);
        written.is_seen(Kind::Promotion, namespace, &promotion.name, version)
    })
}

fn shows_records(written: &Written, seen: &Observation) -> bool {
    let environment = &seen.environment;
    let namespace = &environment.namespace;
    let pending = written.pending(Kind::Record, namespace).into_iter();
    let own = pending.filter(|name| named_after(name) == Some(&environment.name));
    own.into_iter().all(|name| {
        let mut records = seen.facts.records.iter().rev();
        if records.any(|record| record.object_name() == name) {
            written.forget(Kind::Record, namespace, &name);
            return true;
        }
        written.is_seen(Kind::Record, namespace, &name, None)
    })
}

fn shows_workloads(written: &Written, seen: &Observation) -> bool {
    let mut pairs = seen.environment.targets.iter().zip(&seen.facts.workloads);
    pairs.all(|(target, workload)| {
        let reference = &target.workload;
        let (namespace, name) = (&reference.namespace, &reference.name);
        if is_missing(workload) {
            // It was there when it was written to, so it was deleted.
            written.forget(Kind::Workload, namespace, name);
            return true;
        }
        let version = seen.workload_versions.get(reference);
        written.is_seen(Kind::Workload, namespace, name, version.map(String::as_str))
    })
}

fn is_missing(workload: &Observed<Workload>) -> bool {
    matches!(workload, Observed::Unavailable(why) if why.cause == Cause::Missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::observation;
    use lockmaster_core::facts::Unavailable;

    #[test]
    fn only_what_this_environment_looks_at_is_waited_for() {
        let (written, seen) = (Written::default(), observation());
        written.remember(Kind::Promotion, "shop", "of-another", Some("9"));
        written.remember(Kind::Record, "shop", "staging-000001", Some("9"));
        written.remember(Kind::Environment, "shop", "staging", Some("9"));
        assert!(is_current(&written, &seen));
        written.remember(Kind::Promotion, "shop", "p", Some("9"));
        assert!(!is_current(&written, &seen));
    }

    #[test]
    fn a_record_is_waited_for_until_the_chain_has_it() {
        let (written, mut seen) = (Written::default(), observation());
        written.remember(Kind::Record, "shop", "prod-000001", Some("9"));
        assert!(!is_current(&written, &seen));
        seen.facts.records.push(crate::fixtures::record());
        assert!(is_current(&written, &seen));
        assert!(written.pending(Kind::Record, "shop").is_empty());
    }

    #[test]
    fn a_workload_that_was_deleted_is_not_waited_for() {
        let (written, mut seen) = (Written::default(), observation());
        written.remember(Kind::Workload, "shop", "checkout", Some("9"));
        assert!(!is_current(&written, &seen), "not seen yet");
        let (cause, message) = (Cause::Missing, String::new());
        seen.facts.workloads = vec![Observed::Unavailable(Unavailable { cause, message })];
        assert!(is_current(&written, &seen));
        assert!(written.pending(Kind::Workload, "shop").is_empty());
    }
}
