//! What the reference says of reasons, gates and states is generated from the code; the rest of it
//! is compared. `UPDATE=1 cargo test -p lockmaster-tests --test it docs` writes the generated ones.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use lockmaster_core::gates;
use lockmaster_core::reason::{Reason, WHO};
use lockmaster_core::status::State;

use crate::repository::{Source, all, below, is_generated, none, read, root};

const GENERATED: &str = "<!-- Generated from the code; regenerate with: \
                         UPDATE=1 cargo test -p lockmaster-tests --test it docs -->\n";

#[test]
fn reasons_are_documented() {
    let mut page = format!(
        "# Reasons\n\n{GENERATED}\nThe word in `status.gates[].reason`, in conditions, Events and \
         records. A word never changes its meaning; new ones may come. In metrics it is written in \
         snake_case.\n\nThe last column says who does what about a reason that holds or closes \
         something; the message beside the word has the names to put in. A *Developer* makes the \
         image and what is signed about it; a *Requester* has `lockmaster-requester` and the verb \
         `promote` on the Environment; an *Approver* may decide in the role that is asked for; a \
         *Workload owner* may edit the Deployment; a *Policy admin* has `lockmaster-policy-admin`; \
         a *Cluster admin* installs Lockmaster ([rbac.md](rbac.md)). Where it says *Nobody*, it goes \
         on by itself. Who signs keyless leaves `--key KEY` out of a command, and runs it as the \
         identity that the policy names.\n\n| Reason | Meaning | Gates | What to do |\n|---|---|---|---|\n"
    );
    for reason in Reason::ALL {
        let gates: Vec<_> = gates::ALL
            .iter()
            .filter(|gate| gate.reasons().contains(reason))
            .map(|gate| format!("[{0}](gates.md#{0})", gate.name()))
            .collect();
        let meaning = reason.meaning().replace('|', "\\|");
        let (gates, mend) = (gates.join(", "), mend(*reason));
        writeln!(page, "| `{reason}` | {meaning} | {gates} | {mend} |").unwrap();
    }
    is_generated("docs/reference/reasons.md", &page);
}

/// What to do about a reason, with each of those who do it set off.
fn mend(reason: Reason) -> String {
    let mut text = reason.mend().unwrap_or_default().replace('|', "\\|");
    for who in WHO {
        text = text.replace(&format!("{who}: "), &format!("**{who}**: "));
    }
    text
}

#[test]
fn gates_are_documented() {
    let mut page = format!(
        "# Gates\n\n{GENERATED}\nEvery gate is asked about every waiting Promotion, each time \
         anything changes, in this order, and a last time right before the roll-out begins; `kubectl promote explain` shows all the answers.\n\n| Verdict | \
         Means |\n|---|---|\n| `Pass` | satisfied |\n| `Hold` | time, a person or another promotion \
         can satisfy it |\n| `Deny` | not for this release under these rules; somebody must change \
         something |\n| `Unknown` | what it depends on could not be seen: closed, and looked up \
         again |\n| `NotRequired` | nobody asks this question here |\n\nDeny beats Unknown beats \
         Hold. A promotion begins only when every gate says `Pass` or `NotRequired`.\n"
    );
    for gate in gates::ALL {
        let question = question(gate.name());
        writeln!(page, "\n## {}\n\n{question}\n", gate.name()).unwrap();
        page.push_str("| Reason | Meaning |\n|---|---|\n");
        for reason in gate.reasons() {
            let meaning = reason.meaning().replace('|', "\\|");
            writeln!(page, "| `{reason}` | {meaning} |").unwrap();
        }
    }
    is_generated("docs/reference/gates.md", &page);
}

/// The first line of a gate's file: its question, then the requirements that it enforces.
fn question(gate: &str) -> String {
    let source = read(&format!("controller/core/src/gates/{gate}.rs"));
    let line = source
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("//! "));
    let line = line.unwrap_or_else(|| panic!("gates/{gate}.rs does not begin with its question"));
    assert!(line.contains('?'), "gates/{gate}.rs begins with: {line}");
    line.to_owned()
}

#[test]
fn states_are_documented() {
    let mut page = format!(
        "# States\n\n{GENERATED}\n`status.state` of a Promotion: one word for where it stands. \
         `kubectl promote explain` and `kubectl promote create --wait` end with its [exit \
         code](exit-codes.md). `Reconciling` and `Stalled` are conditions that tools like kstatus \
         read.\n\n| State | \
         Means | Exit code | Over | Reconciling | Stalled | Metric label |\n|---|---|---|---|---|---\
         |---|\n"
    );
    for state in State::ALL {
        let yes = |holds: bool| if holds { "yes" } else { "" };
        let stalled = if state.state == State::Blocked {
            "while a gate says Deny"
        } else {
            yes(state.stalled)
        };
        writeln!(
            page,
            "| `{}` | {} | {} | {} | {} | {stalled} | `{}` |",
            state.word,
            state_meaning(state.word),
            state.exit_code,
            yes(state.finished),
            yes(state.reconciling),
            state.label
        )
        .unwrap();
    }
    is_generated("docs/reference/states.md", &page);
}

/// The comment above the state in the code.
fn state_meaning(word: &str) -> String {
    let source = read("controller/core/src/status/state.rs");
    let body = source.split("pub enum State {").nth(1).unwrap_or_default();
    let body = body.split("\n}").next().unwrap_or_default();
    let mut comment = String::new();
    for line in body.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("/// ") {
            comment = if comment.is_empty() {
                text.to_owned()
            } else {
                format!("{comment} {text}")
            };
        } else if line == format!("{word},") {
            return comment;
        } else if line.ends_with(',') {
            comment.clear();
        }
    }
    panic!("the state {word} has no comment")
}

/// The JSON Schemas of our own predicates; `verify` tests examples against them and its readers.
#[test]
fn our_predicates_have_schemas() {
    for (predicate_type, schema) in lockmaster_core::evidence::schemas() {
        let name = predicate_type.trim_start_matches("https://lockmaster.dev/");
        let path = format!(
            "docs/reference/predicates/{}.schema.json",
            name.replace('/', ".")
        );
        let text = serde_json::to_string_pretty(&schema).unwrap();
        is_generated(&path, &format!("{text}\n"));
    }
}

/// A documented reason that nothing can give is a promise that nobody keeps.
#[test]
fn every_reason_is_given_somewhere() {
    let given: BTreeSet<_> = below("controller/")
        .filter(|file| file.is_rust() && file.path != "controller/core/src/reason.rs")
        .flat_map(|file| reasons_in(file.production()))
        .collect();
    let problems: Vec<_> = Reason::ALL
        .iter()
        .filter(|reason| !given.contains(reason.word()))
        .map(ToString::to_string)
        .collect();
    none("reasons that no code gives", &problems);
}

#[test]
fn each_gate_declares_exactly_the_reasons_that_it_gives() {
    // What the evidence gates share gives reasons on behalf of all of them.
    let of_images = given_in(&production("evidence/platforms"));
    let of_bundles = given_in(&production("evidence/refusal"));
    let of_unknown = given_in(&production("evidence/known"));
    // Of images of an index, and of bundles, only for those that ask each of them.
    let shared = &(&given_in(&production("evidence")) - &of_images) - &of_bundles;
    let mut problems = Vec::new();
    for gate in gates::ALL {
        let name = gate.name();
        let source = production(name);
        let (before, declaration) = source.split_once("fn reasons(").unwrap();
        let (_, after) = declaration.split_once("\n    }").unwrap();
        let mut given = given_in(before);
        given.extend(given_in(after));
        if source.contains("super::evidence") {
            // Who asks no question about an image only sees whether anything is known of it.
            let asks_questions = source.contains("Question");
            given.extend(if asks_questions { &shared } else { &of_unknown }.clone());
        }
        let asks = ["ask_all", "ask_each_image", "ask_both_levels", "unfit("];
        if asks.iter().any(|ask| source.contains(ask)) {
            given.extend(of_images.clone());
        }
        if source.contains("signed_by(") {
            given.extend(of_bundles.clone());
        }
        let declared: BTreeSet<_> = gate.reasons().iter().map(ToString::to_string).collect();
        for reason in given.difference(&declared) {
            problems.push(format!("{name} gives {reason} without declaring it"));
        }
        for reason in declared.difference(&given) {
            problems.push(format!("{name} declares {reason} and never gives it"));
        }
    }
    none("reasons of gates", &problems);
}

/// What ships of a gate: its file, and those in its folder.
fn production(gate: &str) -> String {
    let file = format!("controller/core/src/gates/{gate}.rs");
    let folder = format!("controller/core/src/gates/{gate}/");
    let parts = all().iter().filter(|part| {
        let path = part.path.as_str();
        // Whole files of tests are declared as such.
        let test = ["tests", "past_bugs"].contains(&part.stem()) || path.contains("/tests/");
        path == file || (path.starts_with(&folder) && !test)
    });
    // The gate itself comes first: a dot is before a slash.
    parts.map(Source::production).collect::<Vec<_>>().join("\n")
}

/// Every reason that a gate's code gives.
fn given_in(source: &str) -> BTreeSet<String> {
    let mut reasons = reasons_in(source);
    if source.contains("Finding::not_required") {
        reasons.insert(Reason::NotRequired.word().to_owned());
    }
    reasons
}

/// Every word after `Reason::`.
fn reasons_in(source: &str) -> BTreeSet<String> {
    let after = source.split("Reason::").skip(1);
    let words = after.filter_map(|text| {
        let end = text.find(|c: char| !c.is_alphanumeric())?;
        text.get(..end)
    });
    let known = |word: &&str| Reason::ALL.iter().any(|reason| reason.word() == *word);
    words.filter(known).map(str::to_owned).collect()
}

/// Keys of annotations and labels: the code's and the reference's are the same.
#[test]
fn every_key_on_an_object_is_documented() {
    let page = read("docs/reference/annotations.md");
    let documented: BTreeSet<_> = keys(page, '`').collect();
    let sources = below("controller/").filter(|file| file.is_rust());
    let code: BTreeSet<_> = sources
        .filter(|file| file.stem() != "tests" && !file.path.contains("/tests/"))
        .flat_map(|file| keys(file.production(), '"'))
        .collect();
    assert_eq!(documented, code, "annotations.md and the code");
}

/// Every `lockmaster.dev/key` between two of these marks; a version of an API is no key.
fn keys(text: &'static str, mark: char) -> impl Iterator<Item = String> {
    let parts = text
        .split('\n')
        .flat_map(move |line| line.split(mark).skip(1).step_by(2));
    parts.filter_map(|part| {
        let (host, key) = part.split_once('/')?;
        let ours = ["lockmaster.dev", "approval.lockmaster.dev"].contains(&host);
        let key = key.split(['{', '<', '=', '.']).next().unwrap_or_default();
        let names_a_key = key
            .chars()
            .all(|letter| letter.is_ascii_lowercase() || letter == '-');
        (ours && names_a_key && !(key.is_empty() && host == "lockmaster.dev"))
            .then(|| format!("{host}/{key}"))
    })
}

/// A command in a message or in the documentation is one that exists.
#[test]
fn every_command_that_is_named_exists() {
    let source = read("controller/cli/src/args.rs");
    let body = source.split("enum Command {").nth(1).unwrap_or_default();
    let body = body.split("\n}").next().unwrap_or_default();
    let mut commands: BTreeSet<_> = body
        .lines()
        .filter_map(|line| line.trim().split_once('('))
        .map(|(variant, _)| variant.to_lowercase())
        .collect();
    assert!(commands.contains("explain"), "commands: {commands:?}");
    // The help, and a sentence that goes on after the plugin's name.
    commands.extend(["help", "and"].map(str::to_owned));
    let mut problems = Vec::new();
    for file in all() {
        for (number, line) in (1..).zip(file.text.lines()) {
            for rest in line.split("kubectl promote ").skip(1) {
                let end = rest.find(|c: char| !(c.is_ascii_lowercase() || c == '-'));
                let word = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
                if !word.is_empty() && !word.starts_with('-') && !commands.contains(word) {
                    problems.push(format!("{}:{number}: kubectl promote {word}", file.path));
                }
            }
        }
    }
    none("commands that do not exist", &problems);
}

/// A path that a page names in backticks, from the root of the repository, is there.
#[test]
fn every_path_that_is_named_exists() {
    let mut problems = Vec::new();
    for page in ["CONTRIBUTING.md", "CHANGELOG.md"] {
        for path in read(page).split('`').skip(1).step_by(2) {
            let is_path = path.contains('/') && path.starts_with(|c: char| c.is_ascii_lowercase());
            let plain = !path.contains([' ', '<', '*', ':']) && !path.starts_with("lockmaster.dev");
            if is_path && plain && !root().join(path).exists() {
                problems.push(format!("{page}: {path}"));
            }
        }
    }
    none("paths that do not exist", &problems);
}
