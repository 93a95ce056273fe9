//! What Prometheus is told. Labels come from closed or bounded sets: never names of promotions,
//! digests or people.

mod hosts;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lockmaster_core::environment::Tier;
use lockmaster_core::facts::Cause;
use lockmaster_core::gate::GateReport;
use lockmaster_core::record::Outcome;
use lockmaster_observe::evidence::FetchOutcome;
use lockmaster_observe::registry::TrafficEvent;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::scrape::{Held, Snapshot, Unfinished};

use hosts::Hosts;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PromotionLabels {
    promotion_namespace: String,
    product: String,
    environment: String,
    state: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GateLabels {
    environment: String,
    gate: String,
    verdict: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FinishedLabels {
    environment: String,
    tier: String,
    outcome: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FetchLabels {
    outcome: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EnvironmentLabels {
    environment: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConcernLabels {
    promotion_namespace: String,
    product: String,
    environment: String,
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GuardLabels {
    guard: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RegistryLabels {
    registry: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QueueLabels {
    registry: String,
    queue: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UnsentLabels {
    registry: String,
    reason: String,
}

/// From no queue at all to what a request, and the looks before a look, wait at most.
const QUEUE_BUCKETS: [f64; 9] = [0.001, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0];

/// From a registry next door to one that uses up its deadline of ten seconds, a second look with other
/// credentials, and waiting for a turn before each.
const FETCH_BUCKETS: [f64; 12] = [
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 60.0,
];

/// The metrics of this process.
pub(crate) struct Metrics {
    registry: Mutex<Registry>,
    promotions: Family<PromotionLabels, Gauge>,
    gates: Family<GateLabels, Counter>,
    finished: Family<FinishedLabels, Counter>,
    fetches: Family<FetchLabels, Histogram>,
    windows: Family<EnvironmentLabels, Gauge>,
    guards: Family<GuardLabels, Gauge>,
    concerns: Family<ConcernLabels, Gauge>,
    not_ready: Family<KindLabels, Gauge>,
    circuits: Family<RegistryLabels, Gauge>,
    queues: Family<QueueLabels, Histogram>,
    unsent: Family<UnsentLabels, Counter>,
    /// The registries that were asked, or were to be asked.
    hosts: Hosts,
}

impl Metrics {
    /// All of them, at nothing.
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("lockmaster");
        let metrics = Self {
            registry: Mutex::default(),
            promotions: Family::default(),
            gates: Family::default(),
            finished: Family::default(),
            fetches: Family::new_with_constructor(|| Histogram::new(FETCH_BUCKETS)),
            windows: Family::default(),
            guards: Family::default(),
            concerns: Family::default(),
            not_ready: Family::default(),
            circuits: Family::default(),
            queues: Family::new_with_constructor(|| Histogram::new(QUEUE_BUCKETS)),
            unsent: Family::default(),
            hosts: Hosts::default(),
        };
        registry.register(
            "build",
            "What this operator is",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        registry.register(
            "promotions",
            "Unfinished promotions by state",
            metrics.promotions.clone(),
        );
        registry.register(
            "promotions_finished",
            "Promotions that ended, by outcome",
            metrics.finished.clone(),
        );
        registry.register(
            "gate_evaluations",
            "Answers of the gates, one for each evaluation",
            metrics.gates.clone(),
        );
        registry.register_with_unit(
            "evidence_fetch_duration",
            "How long it took to fetch what is attached to a digest, with the wait for a turn",
            Unit::Seconds,
            metrics.fetches.clone(),
        );
        registry.register(
            "window_open",
            "Whether the change window is open for at least one Environment of the stage",
            metrics.windows.clone(),
        );
        registry.register(
            "approval_guard_ready",
            "Whether the guard is installed as shipped and was seen denying",
            metrics.guards.clone(),
        );
        registry.register(
            "artifact_concerns",
            "What verifying again holds against what runs and what would be gone back to",
            metrics.concerns.clone(),
        );
        registry.register(
            "objects_not_ready",
            "Policies, windows, trusted roots and revocations that cannot be read, by kind: one policy or Revocation of these closes every Environment",
            metrics.not_ready.clone(),
        );
        metrics.register_traffic(&mut registry);
        Self {
            registry: Mutex::new(registry),
            ..metrics
        }
    }

    fn register_traffic(&self, registry: &mut Registry) {
        let metrics = self;
        registry.register(
            "registry_circuit_open",
            "Whether the registry is left alone after failures in a row",
            metrics.circuits.clone(),
        );
        registry.register_with_unit(
            "registry_queue_duration",
            "How long looks at images waited for their turn (turn), and requests for their part of the rate (rate)",
            Unit::Seconds,
            metrics.queues.clone(),
        );
        registry.register(
            "registry_requests_unsent",
            "Requests that were not sent: the registry is left alone (circuit_open), or the namespace has used up its share (share_used_up)",
            metrics.unsent.clone(),
        );
    }

    /// Counts the gates' answers.
    pub(crate) fn gates(&self, stage: &str, gates: &[GateReport]) {
        for gate in gates {
            let labels = GateLabels {
                environment: stage.to_owned(),
                gate: gate.name.clone(),
                verdict: snake_case(&gate.verdict.to_string()),
            };
            self.gates.get_or_create(&labels).inc();
        }
    }

    /// Counts a promotion that ended.
    pub(crate) fn finished(&self, stage: &str, tier: Tier, outcome: Outcome) {
        let labels = FinishedLabels {
            environment: stage.to_owned(),
            tier: tier.to_string(),
            outcome: snake_case(&outcome.to_string()),
        };
        self.finished.get_or_create(&labels).inc();
    }

    /// Notes how long a fetch took.
    pub(crate) fn fetched(&self, took: Duration, outcome: FetchOutcome) {
        let outcome = match outcome {
            FetchOutcome::Fetched => "fetched",
            FetchOutcome::Failed(Cause::Unreachable) => "unreachable",
            FetchOutcome::Failed(Cause::Forbidden) => "forbidden",
            FetchOutcome::Failed(Cause::Missing) => "missing",
            FetchOutcome::Failed(Cause::Truncated) => "truncated",
            FetchOutcome::Failed(Cause::Untrustworthy) => "untrustworthy",
            FetchOutcome::ShareUsedUp => "share_used_up",
        };
        let labels = FetchLabels {
            outcome: outcome.to_owned(),
        };
        self.fetches
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
    }

    /// Notes what happened to a request before it was sent.
    pub(crate) fn traffic(&self, host: &str, event: TrafficEvent) {
        let registry = self.hosts.label(host);
        let (queue, waited) = match event {
            TrafficEvent::Turn(waited) => ("turn", waited),
            TrafficEvent::Rate(waited) => ("rate", waited),
            TrafficEvent::LeftAlone => return self.unsent(registry, "circuit_open"),
            TrafficEvent::ShareUsedUp => return self.unsent(registry, "share_used_up"),
        };
        let queue = queue.to_owned();
        self.queues
            .get_or_create(&QueueLabels { registry, queue })
            .observe(waited.as_secs_f64());
    }

    fn unsent(&self, registry: String, reason: &str) {
        let reason = reason.to_owned();
        self.unsent
            .get_or_create(&UnsentLabels { registry, reason })
            .inc();
    }

    fn circuits(&self, left_alone: &[String]) {
        for registry in self.hosts.all() {
            let open = left_alone.contains(&registry);
            let labels = RegistryLabels { registry };
            self.circuits.get_or_create(&labels).set(i64::from(open));
        }
    }

    fn concerned(&self, concerns: Vec<Held>) {
        self.concerns.clear();
        for held in concerns {
            let Held {
                namespace,
                product,
                stage,
                reason,
            } = held;
            let labels = ConcernLabels {
                promotion_namespace: namespace,
                product,
                environment: stage,
                reason: snake_case(reason.word()),
            };
            self.concerns.get_or_create(&labels).inc();
        }
    }

    /// The exposition in OpenMetrics text.
    pub(crate) fn render(&self, snapshot: Snapshot) -> Result<String, std::fmt::Error> {
        let Snapshot {
            promotions,
            windows,
            guards,
            concerns,
            not_ready,
            left_alone,
        } = snapshot;
        self.circuits(&left_alone);
        self.promotions.clear();
        for Unfinished {
            namespace,
            product,
            stage,
            state,
        } in promotions
        {
            let labels = PromotionLabels {
                promotion_namespace: namespace,
                product,
                environment: stage,
                state: state.meaning().label.to_owned(),
            };
            self.promotions.get_or_create(&labels).inc();
        }
        self.windows.clear();
        for (environment, open) in windows {
            self.windows
                .get_or_create(&EnvironmentLabels { environment })
                .set(i64::from(open));
        }
        for (guard, ready) in guards {
            self.guards
                .get_or_create(&GuardLabels { guard })
                .set(i64::from(ready));
        }
        self.concerned(concerns);
        for (kind, count) in not_ready {
            self.not_ready
                .get_or_create(&KindLabels { kind })
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let mut text = String::new();
        encode(
            &mut text,
            &self.registry.lock().unwrap_or_else(PoisonError::into_inner),
        )?;
        Ok(text)
    }
}

/// `NotRequired` as `not_required`.
fn snake_case(word: &str) -> String {
    let mut text = String::new();
    for character in word.chars() {
        if character.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(character.to_ascii_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use lockmaster_core::reason::Reason;
    use lockmaster_core::status::State;

    use super::*;

    #[test]
    fn a_scrape_shows_states_as_they_are_now_and_drops_what_is_gone() {
        let metrics = Metrics::new();
        let unfinished = Unfinished {
            namespace: "shop".into(),
            product: "checkout".into(),
            stage: "prod".into(),
            state: State::AwaitingApproval,
        };
        let snapshot = Snapshot {
            promotions: vec![unfinished],
            ..Snapshot::default()
        };
        let text = metrics.render(snapshot).unwrap();
        let line = "lockmaster_promotions{promotion_namespace=\"shop\",product=\"checkout\",\
                    environment=\"prod\",state=\"awaiting_approval\"} 1";
        assert!(text.contains(line), "{text}");
        assert!(text.contains("lockmaster_build_info{version="), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
        assert!(
            !metrics
                .render(Snapshot::default())
                .unwrap()
                .contains("awaiting_approval")
        );
    }

    #[test]
    fn a_fetch_that_waited_for_its_turn_is_told_from_one_that_waited_longer() {
        let metrics = Metrics::new();
        for seconds in [4, 8, 15, 40] {
            metrics.fetched(Duration::from_secs(seconds), FetchOutcome::Fetched);
        }
        let text = metrics.render(Snapshot::default()).unwrap();
        let bucket = |le: &str| {
            let start = format!("{{le=\"{le}\",outcome=\"fetched\"}} ");
            let lines = text.lines().filter(|line| line.contains("fetch_duration"));
            let counts = lines.filter_map(|line| Some(line.split_once(&start)?.1.to_owned()));
            counts.collect::<String>()
        };
        for (le, count) in [("5.0", "1"), ("10.0", "2"), ("20.0", "3"), ("60.0", "4")] {
            assert_eq!(bucket(le), count, "{text}");
        }
    }

    #[test]
    fn what_is_held_against_what_runs_is_counted_by_reason() {
        let held = Held {
            namespace: "shop".into(),
            product: "checkout".into(),
            stage: "prod".into(),
            reason: Reason::EvidenceWithdrawn,
        };
        let metrics = Metrics::new();
        let snapshot = Snapshot {
            concerns: vec![held],
            ..Snapshot::default()
        };
        let line = "lockmaster_artifact_concerns{promotion_namespace=\"shop\",product=\"checkout\",\
                    environment=\"prod\",reason=\"evidence_withdrawn\"} 1";
        let text = metrics.render(snapshot).unwrap();
        assert!(text.contains(line), "{text}");
        let text = metrics.render(Snapshot::default()).unwrap();
        assert!(!text.contains("evidence_withdrawn"), "{text}");
    }

    #[test]
    fn queues_and_circuits_of_registries_move() {
        let metrics = Metrics::new();
        let host = "registry.example:5000";
        metrics.traffic(host, TrafficEvent::Turn(Duration::from_millis(20)));
        metrics.traffic(host, TrafficEvent::Rate(Duration::from_secs(2)));
        metrics.traffic(host, TrafficEvent::ShareUsedUp);
        for _ in 0..3 {
            metrics.traffic(host, TrafficEvent::LeftAlone);
        }
        let left_alone = vec![host.to_owned()];
        let text = metrics.render(Snapshot {
            left_alone,
            ..Snapshot::default()
        });
        let text = text.unwrap();
        for line in [
            "lockmaster_registry_circuit_open{registry=\"registry.example:5000\"} 1",
            "lockmaster_registry_queue_duration_seconds_sum{registry=\"registry.example:5000\",\
             queue=\"rate\"} 2.0",
            "lockmaster_registry_queue_duration_seconds_bucket{le=\"0.05\",\
             registry=\"registry.example:5000\",queue=\"turn\"} 1",
            "lockmaster_registry_requests_unsent_total{registry=\"registry.example:5000\",\
             reason=\"circuit_open\"} 3",
            "lockmaster_registry_requests_unsent_total{registry=\"registry.example:5000\",\
             reason=\"share_used_up\"} 1",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        let text = metrics.render(Snapshot::default()).unwrap();
        let closed = "lockmaster_registry_circuit_open{registry=\"registry.example:5000\"} 0";
        assert!(text.contains(closed), "{text}");
    }

    #[test]
    fn words_become_labels() {
        assert_eq!(snake_case("RolledBack"), "rolled_back");
        assert_eq!(snake_case("Pass"), "pass");
    }
}
