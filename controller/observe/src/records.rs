//! The chains of records, checked: one record that proves nothing puts its whole chain in doubt.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use kube::{Resource, ResourceExt};
use lockmaster_api::PromotionRecord;
use lockmaster_core::record::{Record, RecordLink};

use crate::stores::Guarded;

/// Label of a record: name of its Environment.
pub const ENVIRONMENT_LABEL: &str = "lockmaster.dev/environment";

/// The records of one Environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chain {
    /// The intact ones, oldest first.
    pub records: Vec<Record>,
    /// Why the chain cannot be relied on: the first record that cannot be read, is not intact, is
    /// missing, or does not follow the one before it.
    pub problem: Option<String>,
}

/// Puts chains together. Hashing is costly, so it is remembered which stored records are intact.
#[derive(Default)]
pub(crate) struct Chains {
    /// By uid: the resourceVersion, and whether that one is intact.
    verdicts: Mutex<HashMap<String, (String, bool)>>,
}

impl Chains {
    /// The chain of an Environment, out of all stored records.
    pub(crate) fn of(
        &self,
        all: &[Arc<Guarded<PromotionRecord>>],
        namespace: &str,
        environment: &str,
    ) -> Chain {
        self.forget_deleted(all);
        let own = all
            .iter()
            .filter(|object| object.meta().namespace.as_deref() == Some(namespace))
            .filter(|object| belongs_to(object, environment));
        let mut chain = Chain::default();
        for object in own {
            match self.read(object, environment) {
                Ok(record) => chain.records.push(record),
                Err(problem) => chain.problem = chain.problem.or(Some(problem)),
            }
        }
        chain.records.sort_by_key(|record| record.content.sequence);
        chain.problem = chain.problem.or_else(|| broken_link(&chain.records));
        chain
    }

    fn read(&self, object: &Guarded<PromotionRecord>, environment: &str) -> Result<Record, String> {
        let name = object.name_any();
        let record = object.0.as_ref().map_err(|invalid| {
            format!("PromotionRecord {name} cannot be read: {}", invalid.error)
        })?;
        if !self.is_intact(record) {
            return Err(format!(
                "PromotionRecord {name} was altered: its hash is not that of its content"
            ));
        }
        let about = &record.spec.content.environment.name;
        if about != environment {
            return Err(format!(
                "PromotionRecord {name} is about Environment {about}"
            ));
        }
        Ok(record.spec.clone().into())
    }

    fn is_intact(&self, object: &PromotionRecord) -> bool {
        let uid = object.uid().unwrap_or_default();
        let version = object.resource_version().unwrap_or_default();
        let known = self.verdicts().get(&uid).cloned();
        if let Some((_, intact)) = known.filter(|(known, _)| *known == version) {
            return intact;
        }
        let intact = Record::from(object.spec.clone()).is_intact();
        self.verdicts().insert(uid, (version, intact));
        intact
    }

    fn forget_deleted(&self, all: &[Arc<Guarded<PromotionRecord>>]) {
        let mut verdicts = self.verdicts();
        if verdicts.len() > all.len() {
            let stored: HashSet<_> = all.iter().filter_map(|object| object.uid()).collect();
            verdicts.retain(|uid, _| stored.contains(uid));
        }
    }

    fn verdicts(&self) -> std::sync::MutexGuard<'_, HashMap<String, (String, bool)>> {
        self.verdicts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a record is one of an Environment: as it says itself, as its name says, or where it
/// cannot be read, as its label says.
fn belongs_to(object: &Guarded<PromotionRecord>, environment: &str) -> bool {
    let says = match &object.0 {
        Ok(record) => Some(&record.spec.content.environment.name),
        Err(_) => object.labels().get(ENVIRONMENT_LABEL),
    };
    says.is_some_and(|says| says == environment)
        || named_after(&object.name_any()).is_some_and(|named| named == environment)
}

/// The Environment in the name of a record.
#[must_use]
pub fn named_after(name: &str) -> Option<&str> {
    let (environment, sequence) = name.rsplit_once('-')?;
    let number = sequence.len() >= 6 && sequence.bytes().all(|byte| byte.is_ascii_digit());
    number.then_some(environment)
}

/// The first place where the chain does not hold together.
fn broken_link(records: &[Record]) -> Option<String> {
    let mut before: Option<&Record> = None;
    for record in records {
        let expected = before.map_or(1, |before| before.content.sequence.saturating_add(1));
        let name = record.object_name();
        if record.content.sequence > expected {
            let missing = Record::name(&record.content.environment.name, expected);
            return Some(format!(
                "PromotionRecord {missing} is missing before {name}"
            ));
        }
        let link = before.map(|before| RecordLink {
            name: before.object_name(),
            hash: before.hash.clone(),
        });
        if record.content.sequence < expected || record.content.previous != link {
            return Some(format!(
                "PromotionRecord {name} does not follow the record before it"
            ));
        }
        before = Some(record);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockmaster_core::canonical::{self, Domain};
    use lockmaster_core::record::Content;
    use lockmaster_core::release::Digest;
    use serde_json::{Value, json};

    fn content(environment: &str, sequence: u32, previous: Option<&Record>) -> Content {
        let mut value = json!({
            "sequence": sequence,
            "environment": {"name": environment, "uid": "e", "effectiveTier": "Development"},
            "promotion": {
                "name": "p", "uid": format!("p-{sequence}"), "specHash": Digest::of(b"p"),
                "action": "Promote", "release": "r", "created": "2026-11-24T10:00:00Z",
                "requestedBy": {"name": "", "kind": "Unknown"},
            },
            "outcome": "Aborted", "reason": "Aborted", "message": "m",
            "times": {"requested": "2026-11-24T10:00:00Z", "finished": "2026-11-24T10:00:00Z"},
        });
        if let Some(previous) = previous {
            value["previous"] = json!({"name": previous.object_name(), "hash": previous.hash});
        }
        serde_json::from_value(value).unwrap()
    }

    fn record(environment: &str, sequence: u32, previous: Option<&Record>) -> Record {
        let content = content(environment, sequence, previous);
        let hash = canonical::hash(Domain::Record, &content).unwrap();
        Record { content, hash }
    }

    fn three() -> [Record; 3] {
        let first = record("prod", 1, None);
        let second = record("prod", 2, Some(&first));
        let third = record("prod", 3, Some(&second));
        [first, second, third]
    }

    fn stored(record: &Record) -> Value {
        let mut spec = serde_json::to_value(&record.content).unwrap();
        spec["hash"] = json!(record.hash);
        let name = record.object_name();
        json!({
            "apiVersion": "lockmaster.dev/v1alpha1", "kind": "PromotionRecord",
            "metadata": {"name": name, "namespace": "shop", "uid": name, "resourceVersion": "1"},
            "spec": spec,
        })
    }

    fn guarded(object: Value) -> Arc<Guarded<PromotionRecord>> {
        Arc::new(serde_json::from_value(object).unwrap())
    }

    fn chain(objects: Vec<Value>) -> Chain {
        let all: Vec<_> = objects.into_iter().map(guarded).collect();
        Chains::default().of(&all, "shop", "prod")
    }

    fn check(objects: Vec<Value>, problem: &str) {
        let found = chain(objects).problem.unwrap_or_default();
        assert!(found.contains(problem), "{found:?}");
    }

    #[test]
    fn an_intact_chain_is_read_in_order() {
        let mut objects: Vec<_> = three().iter().map(stored).collect();
        objects.reverse();
        objects.push(stored(&record("staging", 1, None)));
        let chain = chain(objects);
        assert_eq!(chain.records, three());
        assert_eq!(chain.problem, None);
    }

    #[test]
    fn an_altered_record_is_left_out_and_named() {
        let mut objects: Vec<_> = three().iter().map(stored).collect();
        objects[2]["spec"]["outcome"] = json!("Succeeded");
        let chain = chain(objects);
        assert_eq!(chain.records.len(), 2);
        assert!(chain.problem.unwrap().contains("prod-000003 was altered"));
    }

    #[test]
    fn an_unreadable_record_counts_by_its_name_or_its_label() {
        let mut objects: Vec<_> = three().iter().map(stored).collect();
        objects[2]["spec"]["outcome"] = json!("Perhaps");
        check(objects.clone(), "prod-000003 cannot be read");
        objects[2]["metadata"]["name"] = json!("restored");
        assert_eq!(chain(objects.clone()).problem, None, "nobody's");
        objects[2]["metadata"]["labels"] = json!({ENVIRONMENT_LABEL: "prod"});
        check(objects, "restored cannot be read");
    }

    #[test]
    fn a_gap_a_fork_and_a_wrong_link_are_found() {
        let [first, second, third] = three();
        check(
            vec![stored(&first), stored(&third)],
            "prod-000002 is missing",
        );
        check(vec![stored(&second)], "prod-000001 is missing");
        let other = record("prod", 2, None);
        check(
            vec![stored(&first), stored(&other)],
            "prod-000002 does not follow",
        );
        let mut twin = stored(&second);
        twin["metadata"]["name"] = json!("twin");
        check(
            vec![stored(&first), stored(&second), twin],
            "does not follow",
        );
    }

    #[test]
    fn a_record_under_the_name_of_another_environment_is_found() {
        let mut objects: Vec<_> = three().iter().map(stored).collect();
        let mut foreign = stored(&record("staging", 1, None));
        foreign["metadata"]["name"] = json!("prod-000004");
        objects.push(foreign);
        check(objects, "prod-000004 is about Environment staging");
    }

    #[test]
    fn a_verdict_is_remembered_for_one_resource_version_and_as_long_as_the_record() {
        let chains = Chains::default();
        let [first, ..] = three();
        let mut object = stored(&first);
        let problem = |object: &Value| {
            let all = [guarded(object.clone())];
            chains.of(&all, "shop", "prod").problem
        };
        assert_eq!(problem(&object), None);
        object["spec"]["message"] = json!("altered");
        assert_eq!(problem(&object), None, "not hashed again");
        object["metadata"]["resourceVersion"] = json!("2");
        assert!(problem(&object).is_some(), "another version is");
        let _ = chains.of(&[], "shop", "prod");
        assert!(chains.verdicts().is_empty());
    }
}
