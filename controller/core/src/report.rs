//! The one text about how a promotion stands: for the command line, for replays and golden files.
//!
//! It says the same whoever asks and whenever: no relative times, no colours, one order of gates.

use std::fmt::Write as _;

use crate::approval::{Approval, Vote};
use crate::decision::Progress;
use crate::gate::{GateReport, Verdict};
use crate::gates;
use crate::promotion::{Promotion, RecordReference, Requester, RequesterKind};
use crate::reason::Reason;
use crate::release::Digest;
use crate::status::{PromotionStatus, State};

/// Exit code of a promotion whose evidence is wrong, in place of the state's own.
const EVIDENCE_INVALID: u8 = 7;

/// How verdicts are marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marks {
    /// With symbols.
    Unicode,
    /// With what every terminal can show.
    Ascii,
}

impl Marks {
    fn of(self, verdict: Verdict) -> &'static str {
        match (self, verdict) {
            (Self::Unicode, Verdict::Pass) => "✔",
            (Self::Unicode, Verdict::Hold) => "◷",
            (Self::Unicode, Verdict::Deny) => "✘",
            (Self::Unicode, Verdict::NotRequired) => "·",
            (Self::Ascii, Verdict::Pass) => "+",
            (Self::Ascii, Verdict::Hold) => "o",
            (Self::Ascii, Verdict::Deny) => "x",
            (Self::Ascii, Verdict::NotRequired) => "-",
            (Self::Unicode | Self::Ascii, Verdict::Unknown) => "?",
        }
    }
}

/// How one promotion stands, with all that is said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Namespace of the Promotion.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Name of the Environment.
    pub environment: String,
    /// What is promoted: version and short digest, once known.
    pub artifact: Option<String>,
    /// Where it stands.
    pub state: State,
    /// Why, as a word; absent before anybody looked.
    pub reason: Option<Reason>,
    /// Why, for a person.
    pub summary: String,
    /// Who asked, once recorded.
    pub requested_by: Option<Requester>,
    /// Hash of the plan, which approvals name.
    pub plan: Option<Digest>,
    /// Decisions of people, as latched.
    pub approvals: Vec<Approval>,
    /// What each gate says, in registry order.
    pub gates: Vec<GateReport>,
    /// Its record, once it is over.
    pub record: Option<RecordReference>,
}

impl Report {
    /// How a live Promotion stands, as its status says.
    #[must_use]
    pub fn of_status(
        namespace: &str,
        name: &str,
        environment: &str,
        status: &PromotionStatus,
    ) -> Self {
        let mut conditions = status.conditions.iter();
        let ready = conditions.find(|condition| condition.kind == "Ready");
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            environment: environment.to_owned(),
            artifact: status.artifact.clone(),
            state: status.state,
            reason: ready.map(|ready| ready.reason),
            summary: status.summary.clone(),
            requested_by: status.requested_by.clone(),
            plan: status.plan.as_ref().map(|plan| plan.hash.clone()),
            approvals: status.approvals.clone(),
            gates: status.gates.clone(),
            record: status.record.clone(),
        }
    }

    /// How a promotion stands, as a decision says.
    #[must_use]
    pub fn of_progress(promotion: &Promotion, progress: &Progress) -> Self {
        let said = (progress.state, progress.reason);
        let artifact = progress.artifact.clone();
        Self {
            requested_by: Some(progress.requested_by.clone()),
            plan: progress.plan.as_ref().map(|plan| plan.hash.clone()),
            gates: progress.gates.clone(),
            ..Self::of_memory(promotion, said, progress.summary.clone(), artifact)
        }
    }

    /// How a promotion stands of which a decision says nothing new.
    pub(crate) fn of_memory(
        promotion: &Promotion,
        (state, reason): (State, Reason),
        summary: String,
        artifact: Option<String>,
    ) -> Self {
        let memory = &promotion.memory;
        Self {
            namespace: promotion.namespace.clone(),
            name: promotion.name.clone(),
            environment: promotion.request.environment.clone(),
            artifact,
            state,
            reason: Some(reason),
            summary,
            requested_by: Some(promotion.requester()),
            plan: memory.plan.as_ref().map(|plan| plan.hash.clone()),
            approvals: memory.approvals.clone(),
            gates: memory.gates.clone(),
            record: memory.record.clone(),
        }
    }

    /// Exit code of a command that reports it: the state's, or 7 where evidence is wrong.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let wrong = self.gates.iter().any(|gate| {
            gate.verdict == Verdict::Deny
                && gates::artifact().any(|judging| judging.name() == gate.name)
        });
        if self.state == State::Blocked && wrong {
            EVIDENCE_INVALID
        } else {
            self.state.meaning().exit_code
        }
    }

    /// The text; ends with a line break.
    #[must_use]
    pub fn render(&self, marks: Marks) -> String {
        let mut text = format!("{}\n", self.headline());
        if !self.summary.is_empty() && !self.closed().any(|gate| gate.message == self.summary) {
            push_message(&mut text, "", &self.summary);
        }
        text.push('\n');
        for (label, value) in self.facts() {
            push_line(&mut text, &format!("  {label:<12} {value}"));
        }
        if !self.gates.is_empty() {
            text.push('\n');
            self.push_table(&mut text, marks);
        }
        // What is over needs nothing any more.
        let open = !self.state.meaning().finished;
        for gate in self.closed().filter(|_| open) {
            text.push('\n');
            self.push_details(&mut text, gate);
        }
        match marks {
            Marks::Unicode => text,
            Marks::Ascii => text.replace('…', "..."),
        }
    }

    fn closed(&self) -> impl Iterator<Item = &GateReport> {
        self.gates.iter().filter(|gate| !gate.verdict.is_open())
    }

    /// The first line: what a person in a hurry reads.
    fn headline(&self) -> String {
        let closed: Vec<_> = self.closed().map(|gate| gate.name.as_str()).collect();
        let by_gates = |word: &str, joint: &str| {
            let (count, all, names) = (closed.len(), self.gates.len(), closed.join(", "));
            let noun = if all == 1 { "gate" } else { "gates" };
            format!("{word} {joint} {count} of {all} {noun}: {names}")
        };
        let reason = self.reason.map_or("", Reason::word);
        let artifact = self.artifact.as_deref().unwrap_or("an unknown release");
        match self.state {
            State::Pending | State::AwaitingApproval | State::AwaitingWindow
                if !closed.is_empty() =>
            {
                by_gates("WAITING", "for")
            }
            State::Pending if matches!(self.reason, None | Some(Reason::Queued)) => {
                "WAITING for its turn".to_owned()
            }
            State::Pending | State::AwaitingApproval | State::AwaitingWindow => {
                format!("WAITING: {reason}")
            }
            State::Blocked if closed.is_empty() => format!("BLOCKED: {reason}"),
            State::Blocked => by_gates("BLOCKED", "by"),
            State::RollingOut => format!("ROLLING OUT {artifact}"),
            State::RollingBack => format!("ROLLING BACK from {artifact}"),
            State::RolledBack => format!("ROLLED BACK from {artifact}"),
            State::Succeeded
            | State::Superseded
            | State::Aborted
            | State::Rejected
            | State::Failed => {
                format!("{} {artifact}", self.state.meaning().word.to_uppercase())
            }
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = vec![
            ("promotion", format!("{}/{}", self.namespace, self.name)),
            ("environment", self.environment.clone()),
        ];
        let mut add =
            |label, value: Option<String>| facts.extend(value.map(|value| (label, value)));
        add("artifact", self.artifact.clone());
        add("requested by", self.requested_by.as_ref().map(requester));
        add("plan", self.plan.as_ref().map(Digest::to_string));
        for approval in &self.approvals {
            add("decision", Some(decision(approval)));
        }
        let record = self.record.as_ref();
        add(
            "record",
            record.map(|record| format!("{} {}", record.name, record.hash)),
        );
        facts
    }

    fn push_table(&self, text: &mut String, marks: Marks) {
        let names = self.gates.iter().map(|gate| gate.name.len());
        let words = self.gates.iter().map(|gate| gate.reason.word().len());
        let (name_width, word_width) = (names.max().unwrap_or(0), words.max().unwrap_or(0));
        for GateReport {
            name,
            verdict,
            reason,
            message,
            ..
        } in &self.gates
        {
            let mark = marks.of(*verdict);
            let word = reason.word();
            let rest = if verdict.is_open() {
                message.as_str()
            } else if self.state.meaning().finished {
                ""
            } else {
                "see below"
            };
            let line = format!("  {mark} {name:<name_width$}  {word:<word_width$}  {rest}");
            push_line(text, line.trim_end());
        }
    }

    fn push_details(&self, text: &mut String, gate: &GateReport) {
        let width = self
            .gates
            .iter()
            .map(|gate| gate.name.len())
            .max()
            .unwrap_or(0);
        let label = format!("{:<width$}  ", gate.name);
        push_message(text, &label, &gate.message);
        if let Some(instant) = gate.next_change {
            push_line(text, &format!("{:1$}  may change at {instant}", "", width));
        }
    }
}

fn requester(requester: &Requester) -> String {
    match requester.kind {
        RequesterKind::Person => requester.name.clone(),
        RequesterKind::Robot => format!("{} (no person)", requester.name),
        RequesterKind::Unknown => "unknown".to_owned(),
    }
}

fn decision(approval: &Approval) -> String {
    let Approval {
        slot,
        decision,
        by,
        reference,
        reason,
        at,
        ..
    } = approval;
    let verb = match decision {
        Vote::Approve => "approved",
        Vote::Reject => "rejected",
    };
    let reference = if reference.is_empty() {
        String::new()
    } else {
        format!(" ({reference})")
    };
    format!("{verb} by {by} as {slot} at {at}{reference}: {reason}")
}

/// A message behind its label; the command it ends with stands on a line of its own, to be copied.
fn push_message(text: &mut String, label: &str, message: &str) {
    let command = [": kubectl ", ": cosign "]
        .into_iter()
        .filter_map(|start| message.find(start))
        .min();
    let (said, command) = match command {
        Some(at) => message.split_at(at + 1),
        None => (message, ""),
    };
    push_line(text, &format!("{label}{said}"));
    if !command.is_empty() {
        let indent = label.chars().count() + 2;
        push_line(text, &format!("{:indent$}{}", "", command.trim_start()));
    }
}

/// One line, without anything that could make a terminal show something else than what is there:
/// messages repeat what registries and people wrote.
fn push_line(text: &mut String, line: &str) {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let shown: String = line.chars().filter(|c| !hidden(*c)).collect();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{shown}");
}

#[cfg(test)]
mod tests;
