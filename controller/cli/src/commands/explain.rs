//! `explain`: how a promotion stands, why, and who can do what about it.

mod view;
mod you;

use std::fmt::Write as _;
use std::path::Path;

use kube::ResourceExt as _;
use lockmaster_api::Promotion;
use lockmaster_core::plan::{Plan, PublishedPlan};
use lockmaster_core::report::Report;
use lockmaster_core::snapshot::Snapshot;

use self::view::{Explanation, ExplanationList, PlanView};
use self::you::You;
use super::{read_file, wait};
use crate::args::{Explain, Format};
use crate::cluster::Cluster;
use crate::failure::{Exit, Failure};
use crate::output::{self, Style};

/// Runs it.
pub(super) async fn run(arguments: Explain) -> anyhow::Result<Exit> {
    let Explain {
        promotion,
        file,
        output,
        display,
        connection,
    } = arguments;
    let style = Style::of(&display);
    match (file, promotion) {
        (Some(file), promotion) => replay(&file, promotion.as_deref(), output, style),
        (None, Some(name)) => {
            let cluster = Cluster::connect(&connection).await?;
            live(&cluster, &name, output, style).await
        }
        // The command line asks for one of them.
        (None, None) => Err(Failure::usage("name a Promotion, or a snapshot with -f").into()),
    }
}

async fn live(
    cluster: &Cluster,
    name: &str,
    format: Option<Format>,
    style: Style,
) -> anyhow::Result<Exit> {
    let promotion: Promotion = cluster.get(name).await?;
    let report = wait::report(&promotion);
    let status = promotion.status.clone().unwrap_or_default();
    let exit = Exit::State(report.exit_code());
    let uid = promotion.uid().unwrap_or_default();
    let open = !status.state.meaning().finished;
    // Read before anything is printed: a plan that cannot be trusted is an answer of its own.
    let plan = match status.plan.as_ref().filter(|_| open) {
        Some(published) => Some((published, crate::plan::read(published, &uid)?)),
        None => None,
    };
    let you = match &plan {
        Some((published, plan)) if you::is_asked(&report) => {
            Some(you::ask(cluster, &report, plan, &published.content).await?)
        }
        Some(_) | None => None,
    };
    if let Some(format) = format {
        let plan = plan
            .as_ref()
            .map(|(published, plan)| PlanView::of(published, plan));
        output::value(format, &Explanation::of(&report, plan, you).headed())?;
        return Ok(exit);
    }
    let mut text = report.render(style.marks);
    if let Some((published, plan)) = &plan {
        push_plan(&mut text, published, plan);
    }
    if let Some(you) = &you {
        push_you(&mut text, you, &report);
    }
    style.print(&text)?;
    if status.observed_generation == 0 {
        output::note(
            "the operator has not looked at it yet; if that stays so, see whether it runs: \
             kubectl get pods -n lockmaster-system",
        );
    }
    Ok(exit)
}

/// What an approver agrees to: read from the bytes that the hash covers.
fn push_plan(text: &mut String, published: &PublishedPlan, plan: &Plan) {
    let short = published.hash.short();
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "\nplan {short}, published at {}; its content is what its hash says\n{}",
        published.minted_at,
        crate::plan::change(plan)
    );
}

fn push_you(text: &mut String, you: &You, report: &Report) {
    let _ = writeln!(text, "\nyou are {} (says the API server)", you.name);
    for role in &you.roles {
        let _ = writeln!(text, "  {}: {}", role.role, role.why);
        if role.may {
            let _ = writeln!(
                text,
                "    kubectl promote approve {} -n {} --role {} --reason \"...\"",
                report.name, report.namespace, role.role
            );
        }
    }
}

fn replay(
    file: &Path,
    name: Option<&str>,
    format: Option<Format>,
    style: Style,
) -> anyhow::Result<Exit> {
    let snapshot = parse(&read_file(file)?, file)?;
    let reports: Vec<Report> = snapshot
        .replay()
        .into_iter()
        .filter(|report| name.is_none_or(|name| name == report.name))
        .collect();
    if let (Some(name), []) = (name, reports.as_slice()) {
        let text = format!("{} has no unfinished Promotion {name}", file.display());
        return Err(Failure::usage(text).into());
    }
    match (format, name, reports.as_slice()) {
        (Some(format), Some(_), [only]) => {
            output::value(format, &Explanation::of(only, None, None).headed())?;
        }
        (Some(format), _, all) => output::value(format, &ExplanationList::of(all))?,
        (None, Some(_), [only]) => style.print(&only.render(style.marks))?,
        (None, _, _) => style.print(&snapshot.render(style.marks))?,
    }
    // Of several, the one that is furthest from done.
    let codes = reports.iter().map(Report::exit_code);
    Ok(codes.max().map_or(Exit::Done, Exit::State))
}

/// Reads a snapshot, and refuses a field that nobody reads, however deep: a fact that is misspelt
/// would be a fact that is missing.
fn parse(text: &str, file: &Path) -> Result<Snapshot, Failure> {
    let refuse = |problem: &str| {
        Failure::usage(format!(
            "{} is no snapshot that this version can replay: {}",
            file.display(),
            crate::failure::one_line(problem)
        ))
    };
    let malformed = |error: serde_saphyr::Error| refuse(&error.without_snippet().to_string());
    let snapshot: Snapshot = serde_saphyr::from_str(text).map_err(malformed)?;
    let given: serde_json::Value = serde_saphyr::from_str(text).map_err(malformed)?;
    let read = serde_json::to_value(&snapshot).map_err(|error| refuse(&error.to_string()))?;
    match unread(&given, &read, "") {
        None => Ok(snapshot),
        Some(path) => Err(refuse(&format!("unknown field {path}"))),
    }
}

/// The path of the first field that was given and that nobody read.
fn unread(given: &serde_json::Value, read: &serde_json::Value, path: &str) -> Option<String> {
    use serde_json::Value;
    match (given, read) {
        (Value::Object(given), Value::Object(read)) => given.iter().find_map(|(key, value)| {
            let dot = if path.is_empty() { "" } else { "." };
            let path = format!("{path}{dot}{key}");
            match read.get(key) {
                Some(read) => unread(value, read, &path),
                None => (!is_absence(value)).then_some(path),
            }
        }),
        (Value::Array(given), Value::Array(read)) => {
            let mut pairs = given.iter().zip(read).enumerate();
            pairs.find_map(|(at, (given, read))| unread(given, read, &format!("{path}[{at}]")))
        }
        _ => None,
    }
}

/// Values that mean the same as leaving the field out.
fn is_absence(value: &serde_json::Value) -> bool {
    use serde_json::Value;
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(true) | Value::Number(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use lockmaster_core::approval::Approval;
    use lockmaster_core::gate::{GateReport, Verdict};
    use lockmaster_core::promotion::Requester;
    use lockmaster_core::reason::Reason;
    use lockmaster_core::status::State;

    use super::view::RoleView;
    use super::*;
    use crate::plan::tests::published;

    fn report() -> Report {
        let gate = |name: &str, verdict, reason| GateReport {
            name: name.into(),
            verdict,
            reason,
            message: format!("about {name}"),
            next_change: None,
            evidence: vec![],
        };
        Report {
            namespace: "shop".into(),
            name: "checkout-1.42.0-prod".into(),
            environment: "checkout-prod".into(),
            artifact: Some("1.42.0@9f2c41d07a11".into()),
            state: State::AwaitingApproval,
            reason: Some(Reason::AwaitingApproval),
            summary: "about approval".into(),
            requested_by: Some(Requester::of_annotation(Some("bob@corp"))),
            plan: Some(published().hash),
            approvals: Vec::<Approval>::new(),
            gates: vec![
                gate("release", Verdict::Pass, Reason::ReleaseAccepted),
                gate("approval", Verdict::Hold, Reason::AwaitingApproval),
            ],
            record: None,
        }
    }

    fn you() -> You {
        let role = |role: &str, may, why: &str| RoleView {
            role: role.into(),
            may,
            why: why.into(),
        };
        You {
            name: "alice@corp".into(),
            roles: vec![
                role("release-manager", true, "you may approve"),
                role("security", false, "you may not"),
            ],
        }
    }

    #[test]
    fn the_account_says_who_can_do_what() {
        let published = published();
        let plan = crate::plan::read(&published, "promotion-uid").unwrap();
        let mut text = String::new();
        push_plan(&mut text, &published, &plan);
        push_you(&mut text, &you(), &report());
        let expect = format!(
            "\nplan {}, published at 2026-12-02T10:14:00Z; its content is what its hash says\n\
             \x20 Deployment shop-prod/checkout, container app\n\
             \x20   - {}\n\
             \x20   + {}@{}\n\
             \nyou are alice@corp (says the API server)\n\
             \x20 release-manager: you may approve\n\
             \x20   kubectl promote approve checkout-1.42.0-prod -n shop --role release-manager \
             --reason \"...\"\n\
             \x20 security: you may not\n",
            published.hash.short(),
            plan.targets[0].from,
            plan.targets[0].to.repository(),
            plan.targets[0].to.digest(),
        );
        assert_eq!(text, expect);
    }

    #[test]
    fn json_is_versioned_and_complete() {
        let published = published();
        let plan = crate::plan::read(&published, "promotion-uid").unwrap();
        let view = PlanView::of(&published, &plan);
        let report = report();
        let value =
            serde_json::to_value(Explanation::of(&report, Some(view), Some(you())).headed())
                .unwrap();
        let at = |pointer: &str| value.pointer(pointer).unwrap().clone();
        assert_eq!(at("/apiVersion"), "cli.lockmaster.dev/v1");
        assert_eq!(at("/kind"), "Explanation");
        assert_eq!(at("/state"), "AwaitingApproval");
        assert_eq!(at("/exitCode"), 3);
        assert_eq!(at("/gates/1/verdict"), "Hold");
        assert_eq!(at("/plan/targets/0/container"), "app");
        assert_eq!(at("/plan/hash"), published.hash.as_str());
        assert_eq!(at("/you/roles/0/may"), true);
    }

    #[test]
    fn a_file_that_is_no_snapshot_is_named() {
        let path = Path::new("snapshot.yaml");
        let text = parse("apiVersion: v1\nkind: Pod\n", path)
            .unwrap_err()
            .message;
        assert!(text.starts_with("snapshot.yaml is no snapshot"), "{text}");
        assert!(!text.contains('\n'), "{text}");
    }

    #[test]
    fn a_misspelt_field_is_an_error_however_deep() {
        let path = Path::new("snapshot.yaml");
        let good = include_str!("../../../../examples/ready-to-go/snapshot.yaml");
        assert!(parse(good, path).is_ok());
        for (right, wrong, named) in [
            ("  consent: ", "  consemt: ", ".consemt"),
            (
                "  firstSeen: ",
                "  abort: yes\n  firstSeen: ",
                "promotions[0].abort",
            ),
            (
                "      tag: v1.42.0",
                "      tga: v1.42.0",
                "checkout-1.42.0.known.source",
            ),
        ] {
            let text = parse(&good.replacen(right, wrong, 1), path)
                .unwrap_err()
                .message;
            assert!(text.contains("unknown field"), "{wrong}: {text}");
            assert!(
                text.contains(named) || text.contains("tga"),
                "{wrong}: {text}"
            );
        }
    }
}
