//! How a command ends: the exit codes, and one line that names what to mend.

use std::fmt;
use std::process::ExitCode;

use lockmaster_core::release::clip;

use crate::read::Unreadable;

/// Why an object may be unreadable that the API server stored.
const VERSIONS: &str = "mend it, or use the plugin of the version that is installed in the cluster";

/// The exit codes, as `docs/reference/exit-codes.md` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// Done, or passed.
    Done,
    /// Wrong usage, or something that could not be known or done.
    Failed,
    /// A gate failed.
    GateFailed,
    /// Something is awaited.
    Waiting,
    /// You may not.
    NotPermitted,
    /// Evidence is invalid.
    EvidenceInvalid,
    /// `--timeout` passed.
    Timeout,
    /// The code that the table of states gives.
    State(u8),
}

impl Exit {
    /// The number.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::GateFailed => 2,
            Self::Waiting => 3,
            Self::NotPermitted => 6,
            Self::EvidenceInvalid => 7,
            Self::Timeout => 124,
            Self::State(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command did not do what it was asked, for the person who asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) exit: Exit,
    /// One line that names what to mend.
    pub(crate) message: String,
}

impl Failure {
    /// A failure with this exit code and message.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { exit, message }
    }

    /// An object that is needed cannot be read.
    pub(crate) fn unreadable(problem: &Unreadable) -> Self {
        Self::usage(format!("{}; {VERSIONS}", problem.line()))
    }

    /// Wrong usage, or something that cannot be done as things are: exit code 1.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// What an error means for the caller: its own exit code where it carries one, otherwise 1 and the
/// whole chain on one line.
pub(crate) fn of(error: &anyhow::Error) -> Failure {
    error.downcast_ref::<Failure>().map_or_else(
        || Failure::usage(one_line(&format!("{error:#}"))),
        Clone::clone,
    )
}

/// What was tried on the API server, for messages about its answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt<'a> {
    /// The verb as RBAC knows it.
    pub(crate) verb: &'a str,
    /// Kind, as people say it.
    pub(crate) kind: &'a str,
    /// Resource with its group, `promotions.lockmaster.dev`.
    pub(crate) resource: &'a str,
    /// Namespace; empty for what has none.
    pub(crate) namespace: &'a str,
    /// Name; empty where many are asked for.
    pub(crate) name: &'a str,
    /// The server that was asked.
    pub(crate) server: &'a str,
}

impl Attempt<'_> {
    fn object(&self) -> String {
        let Self {
            kind,
            namespace,
            name,
            ..
        } = self;
        match (namespace.is_empty(), name.is_empty()) {
            (true, true) => format!("{kind}s"),
            (true, false) => format!("{kind} {name}"),
            (false, true) => format!("{kind}s in namespace {namespace}"),
            (false, false) => format!("{kind} {namespace}/{name}"),
        }
    }

    fn scope(&self) -> String {
        if self.namespace.is_empty() {
            String::new()
        } else {
            format!(" -n {}", self.namespace)
        }
    }
}

/// What an error of the API client means.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "kube's list of errors grows; all others mean that nobody answered"
)]
pub(crate) fn of_api(error: &kube::Error, attempt: &Attempt<'_>) -> Failure {
    let server = attempt.server;
    match error {
        kube::Error::Api(status) => of_status(status, attempt),
        kube::Error::SerdeError(problem) => Failure::usage(format!(
            "{} cannot be read: {}; {VERSIONS}",
            attempt.object(),
            clip(&problem.to_string())
        )),
        kube::Error::Auth(problem) => Failure::usage(format!(
            "no credentials for {server}: {}; log in again, or mend the user of this kubeconfig \
             context",
            root(problem)
        )),
        // Whatever else it is (a broken connection, TLS, a proxy): nobody answered.
        other => Failure::usage(format!(
            "no answer from the API server {server}: {}; check --context, --kubeconfig and the \
             network",
            root(other)
        )),
    }
}

fn of_status(status: &kube::core::Status, attempt: &Attempt<'_>) -> Failure {
    let said = one_line(&status.message);
    if let Some(refusal) = guard_refusal(&status.message) {
        return Failure::new(Exit::NotPermitted, refusal);
    }
    match status.code {
        401 => Failure::new(
            Exit::NotPermitted,
            format!(
                "the API server {} does not know you: log in again, or mend the user of this \
                 kubeconfig context",
                attempt.server
            ),
        ),
        403 => Failure::new(
            Exit::NotPermitted,
            format!(
                "you may not {} {}: ask for a role with verb {} on {}; the API server said: {said}",
                attempt.verb,
                attempt.object(),
                attempt.verb,
                attempt.resource
            ),
        ),
        404 => Failure::usage(missing(status, attempt)),
        409 if attempt.verb == "create" => {
            Failure::usage(format!("{} exists already", attempt.object()))
        }
        _ => Failure::usage(format!(
            "the API server refused to {} {}: {said}",
            attempt.verb,
            attempt.object()
        )),
    }
}

fn missing(status: &kube::core::Status, attempt: &Attempt<'_>) -> String {
    let details = status.details.as_ref();
    let named = details.is_some_and(|details| !details.name.is_empty());
    if named && details.is_some_and(|details| details.kind == "namespaces") {
        return format!("namespace {} does not exist", attempt.namespace);
    }
    if named {
        return format!(
            "{} does not exist; see what there is: kubectl get {}{}",
            attempt.object(),
            attempt.resource,
            attempt.scope()
        );
    }
    format!(
        "the API server {} does not know {}: install Lockmaster there, or name another cluster \
         with --context",
        attempt.server, attempt.resource
    )
}

/// What one of our guards said, out of the API server's sentence around it.
fn guard_refusal(message: &str) -> Option<String> {
    let (before, said) = message.split_once("denied request: ")?;
    let policy = before.split('\'').nth(1)?;
    let policy = policy
        .starts_with("lockmaster-")
        .then_some(policy)
        .or_else(|| {
            // Another admission policy of the cluster: named as well, it is not ours to explain.
            before
                .contains("ValidatingAdmissionPolicy")
                .then_some(policy)
        })?;
    Some(format!("{policy} refused: {}", one_line(said)))
}

/// The innermost cause: the one that says what really happened.
fn root(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    clip(&one_line(&innermost.to_string()))
}

/// The text on one line.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ATTEMPT: Attempt<'_> = Attempt {
        verb: "get",
        kind: "Promotion",
        resource: "promotions.lockmaster.dev",
        namespace: "shop",
        name: "checkout-1.42.0-prod",
        server: "https://api.example",
    };

    fn answer(code: u16, message: &str, details: &serde_json::Value) -> Failure {
        let status = serde_json::from_value(serde_json::json!({
            "status": "Failure", "code": code, "message": message, "details": details,
        }))
        .unwrap();
        of_api(&kube::Error::Api(Box::new(status)), &ATTEMPT)
    }

    #[track_caller]
    fn check(failure: &Failure, exit: Exit, words: &[&str]) {
        assert_eq!(failure.exit, exit, "{failure}");
        assert!(!failure.message.contains('\n'), "{failure}");
        for word in words {
            assert!(failure.message.contains(word), "{failure}");
        }
    }

    #[test]
    fn a_guard_speaks_for_itself() {
        let message = "promotions.lockmaster.dev \"checkout-1.42.0-prod\" is forbidden: \
                       ValidatingAdmissionPolicy 'lockmaster-approval-guard' with binding \
                       'lockmaster-approval-guard' denied request: V7 the requester cannot decide";
        for code in [403, 422] {
            let failure = answer(code, message, &serde_json::Value::Null);
            assert_eq!(failure.exit, Exit::NotPermitted);
            assert_eq!(
                failure.message,
                "lockmaster-approval-guard refused: V7 the requester cannot decide"
            );
        }
    }

    #[test]
    fn forbidden_names_verb_and_resource() {
        let failure = answer(
            403,
            "promotions.lockmaster.dev \"x\" is forbidden: User \"bob\" cannot get",
            &serde_json::Value::Null,
        );
        check(
            &failure,
            Exit::NotPermitted,
            &["verb get on promotions.lockmaster.dev", "User \"bob\""],
        );
    }

    #[test]
    fn what_is_missing_is_told_from_missing_kinds_and_namespaces() {
        let named = serde_json::json!({"name": "checkout-1.42.0-prod", "kind": "promotions"});
        check(
            &answer(404, "not found", &named),
            Exit::Failed,
            &[
                "Promotion shop/checkout-1.42.0-prod does not exist",
                "kubectl get promotions.lockmaster.dev -n shop",
            ],
        );
        check(
            &answer(404, "404 page not found", &serde_json::Value::Null),
            Exit::Failed,
            &["install Lockmaster", "https://api.example"],
        );
        let namespace = serde_json::json!({"name": "shop", "kind": "namespaces"});
        check(
            &answer(404, "namespaces \"shop\" not found", &namespace),
            Exit::Failed,
            &["namespace shop does not exist"],
        );
    }

    #[test]
    fn who_is_not_known_is_told_to_log_in() {
        let failure = answer(401, "Unauthorized", &serde_json::Value::Null);
        check(
            &failure,
            Exit::NotPermitted,
            &["does not know you", "log in"],
        );
    }

    #[test]
    fn a_server_that_does_not_answer_is_named() {
        let refused = std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "refused");
        let failure = of_api(&kube::Error::Service(Box::new(refused)), &ATTEMPT);
        check(
            &failure,
            Exit::Failed,
            &["https://api.example", "--context"],
        );
    }

    #[test]
    fn other_errors_are_one_line() {
        let error = anyhow::anyhow!("line one\nline two").context("failed to read a file");
        let failure = of(&error);
        check(
            &failure,
            Exit::Failed,
            &["failed to read a file: line one line two"],
        );
    }

    #[test]
    fn codes_are_those_of_the_documentation() {
        let documented = include_str!("../../../docs/reference/exit-codes.md");
        let codes = [
            Exit::Done,
            Exit::Failed,
            Exit::GateFailed,
            Exit::Waiting,
            Exit::NotPermitted,
            Exit::EvidenceInvalid,
            Exit::Timeout,
        ];
        for exit in codes {
            let row = format!("| {} |", exit.code());
            assert!(documented.contains(&row), "{row}");
        }
    }
}
