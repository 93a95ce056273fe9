//! Does the calendar allow it now? (M23 to M25)

use jiff::Timestamp;

use crate::case::{Case, matching};
use crate::environment::{Environment, Tier};
use crate::facts::Facts;
use crate::gate::{Finding, Gate};
use crate::policy::{ALWAYS, PolicyContent, PolicyFact};
use crate::promotion::{Action, WINDOW_ANNOTATION};
use crate::reason::Reason;
use crate::record::WindowReference;
use crate::window::{self, WindowState, parse_annotation};

/// See the module.
#[derive(Debug)]
pub(super) struct Window;

impl Gate for Window {
    fn name(&self) -> &'static str {
        "window"
    }

    fn reasons(&self) -> &'static [Reason] {
        &[
            Reason::NotRequired,
            Reason::InsideWindow,
            Reason::OutsideWindow,
            Reason::WindowAnnotationInvalid,
            Reason::NoWindowDefined,
        ]
    }

    fn find(&self, case: &Case<'_>) -> Finding {
        let narrowing = match narrowing(case) {
            Ok(narrowing) => narrowing,
            Err(finding) => return finding,
        };
        if case.promotion.request.action == Action::Rollback {
            return match &narrowing {
                // What its own requester wrote holds; the windows of policies are only told.
                Some(narrowing) => {
                    let state = window::state(&[], Some(narrowing), case.now);
                    describe(&[], Some(narrowing), state)
                }
                None => of_policies(case, None).reported(),
            };
        }
        of_policies(case, narrowing.as_deref())
    }
}

/// What the windows of the policies say, narrowed by the requester.
fn of_policies(case: &Case<'_>, narrowing: Option<&[window::Window]>) -> Finding {
    // Before the annotation is looked at: it narrows, and never stands for a window.
    if case.tier == Tier::Production && !is_asked(case) {
        return Finding::hold(
            Reason::NoWindowDefined,
            "tier Production needs a change window: a policy names one, or Always, in \
                 spec.windows",
        );
    }
    let named = match groups(&case.policies, case.facts) {
        Ok(named) => named,
        Err(finding) => return finding,
    };
    if named.is_empty() && narrowing.is_none() {
        return Finding::not_required("no window applies");
    }
    let windows: Vec<_> = named.iter().map(|group| group.windows.clone()).collect();
    let state = window::state(&windows, narrowing, case.now);
    describe(&named, narrowing, state)
}

/// Whether a policy says anything about windows, be it that it is always open.
fn is_asked(case: &Case<'_>) -> bool {
    let mut policies = case.policies.iter();
    policies.any(|(_, content)| !content.policy.windows.is_empty())
}

/// The windows of one policy, of which any one must be open.
struct Group {
    names: Vec<String>,
    windows: Vec<window::Window>,
}

fn narrowing(case: &Case<'_>) -> Result<Option<Vec<window::Window>>, Finding> {
    let Some(text) = case.promotion.annotations.get(WINDOW_ANNOTATION) else {
        return Ok(None);
    };
    parse_annotation(text).map(Some).map_err(|error| {
        Finding::deny(
            Reason::WindowAnnotationInvalid,
            format!("annotation {WINDOW_ANNOTATION}: {error}"),
        )
    })
}

/// One group for each policy that names windows and does not say `Always`. A name without a
/// readable ChangeWindow closes the gate: nobody can say when it would be open.
fn groups(
    policies: &[(&PolicyFact, &PolicyContent)],
    facts: &Facts,
) -> Result<Vec<Group>, Finding> {
    let mut groups = Vec::new();
    for (fact, content) in policies {
        let names = &content.policy.windows;
        if names.is_empty() || names.iter().any(|name| name == ALWAYS) {
            continue;
        }
        let mut windows = Vec::new();
        for name in names {
            windows.push(window_called(facts, &fact.name, name)?);
        }
        groups.push(Group {
            names: names.clone(),
            windows,
        });
    }
    Ok(groups)
}

fn window_called(facts: &Facts, policy: &str, name: &str) -> Result<window::Window, Finding> {
    let refuse = |problem: &str| {
        let text = format!("policy {policy} names ChangeWindow {name}, which {problem}");
        Finding::hold(Reason::NoWindowDefined, text)
    };
    let window = facts
        .windows
        .get(name)
        .ok_or_else(|| refuse("does not exist"))?;
    let calendar = window
        .content
        .as_ref()
        .map_err(|problem| refuse(&format!("cannot be read: {problem}")))?;
    window::Window::new(calendar).map_err(|error| refuse(&format!("cannot be read: {error}")))
}

fn describe(groups: &[Group], narrowing: Option<&[window::Window]>, state: WindowState) -> Finding {
    let mut names: Vec<_> = groups
        .iter()
        .map(|group| group.names.join(" or "))
        .collect();
    if narrowing.is_some() {
        names.push(format!("annotation {WINDOW_ANNOTATION}"));
    }
    let names = names.join(" and ");
    let zone = groups
        .iter()
        .flat_map(|group| &group.windows)
        .chain(narrowing.unwrap_or(&[]))
        .next();
    let local = |instant| zone.map_or_else(|| format!("{instant}"), |zone| zone.local(instant));
    match state {
        WindowState::Open { until: Some(until) } => {
            let text = format!("{names}: open until {}", local(until));
            Finding::pass(Reason::InsideWindow, text).until(Some(until))
        }
        WindowState::Open { until: None } => {
            Finding::pass(Reason::InsideWindow, format!("{names}: open"))
        }
        WindowState::Closed { opens: Some(opens) } => Finding::hold(
            Reason::OutsideWindow,
            format!(
                "{names}: closed, opens {}; it proceeds by itself then",
                local(opens)
            ),
        )
        .until(Some(opens)),
        WindowState::Closed { opens: None } => Finding::hold(
            Reason::OutsideWindow,
            format!(
                "{names}: closed, and never open at once in the next 400 days; change one of them"
            ),
        ),
    }
}

/// Whether the windows that an Environment's policies name are open; nothing where none is named.
#[must_use]
pub fn is_open(environment: &Environment, facts: &Facts, now: Timestamp) -> Option<bool> {
    let tier = environment.effective_tier(&facts.namespaces);
    let Ok(groups) = groups(&matching(environment, facts, tier), facts) else {
        return Some(false);
    };
    let windows: Vec<_> = groups.into_iter().map(|group| group.windows).collect();
    (!windows.is_empty()).then(|| window::state(&windows, None, now).is_open())
}

/// When the occurrence ends that was open at this instant; nothing where it was closed, or is open
/// for ever.
pub(super) fn open_until(case: &Case<'_>, at: Timestamp) -> Option<Timestamp> {
    // Without a policy's window there is none: what a requester wrote must not lengthen anything.
    let groups = groups(&case.policies, case.facts)
        .ok()
        .filter(|groups| !groups.is_empty())?;
    let windows: Vec<_> = groups.into_iter().map(|group| group.windows).collect();
    let narrowing = narrowing(case).ok()?;
    match window::state(&windows, narrowing.as_deref(), at) {
        WindowState::Open { until } => until,
        WindowState::Closed { .. } => None,
    }
}

/// The windows that a promotion begins in, for its record: of each policy those that are open.
#[must_use]
pub fn in_force(case: &Case<'_>) -> Option<WindowReference> {
    let groups = groups(&case.policies, case.facts)
        .ok()
        .filter(|groups| !groups.is_empty())?;
    let narrowing = narrowing(case).ok()?;
    let windows: Vec<_> = groups.iter().map(|group| group.windows.clone()).collect();
    let WindowState::Open { until } = window::state(&windows, narrowing.as_deref(), case.now)
    else {
        return None;
    };
    let named = groups
        .iter()
        .flat_map(|group| group.names.iter().zip(&group.windows));
    let open = named.filter_map(|(name, window)| Some((name, window.open_at(case.now)?)));
    let (names, starts): (Vec<_>, Vec<_>) = open
        .map(|(name, occurrence)| (name.clone(), occurrence.start))
        .unzip();
    let narrowed = narrowing.iter().flatten();
    let narrowed = narrowed.filter_map(|window| Some(window.open_at(case.now)?.start));
    Some(WindowReference {
        names,
        start: starts.into_iter().chain(narrowed.min()).max()?,
        end: until,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Case;
    use crate::fixtures::{ask, at, check, ready, roll_back, with_policy};
    use crate::gate::Verdict::{Deny, Hold, NotRequired, Pass};
    use crate::snapshot::Snapshot;

    fn annotated(snapshot: &mut Snapshot, text: &str) {
        let annotations = &mut snapshot.promotions[0].annotations;
        annotations.insert(WINDOW_ANNOTATION.to_owned(), text.to_owned());
    }

    #[test]
    fn every_reason() {
        check(
            &Window,
            &[
                (
                    |_| {},
                    Pass,
                    Reason::InsideWindow,
                    "business-hours: open until Tue 2026-11-24 16:00 CET",
                ),
                (roll_back, NotRequired, Reason::NotRequired, "a rollback"),
                (
                    |s| with_policy(s, |policy| policy.windows = vec![ALWAYS.into()]),
                    NotRequired,
                    Reason::NotRequired,
                    "no window applies",
                ),
                (
                    |s| s.now = at("2026-11-24T15:00:00Z"),
                    Hold,
                    Reason::OutsideWindow,
                    "opens Wed 2026-11-25 09:00 CET; it proceeds by itself",
                ),
                (
                    |s| annotated(s, "Wed 10:00-12:00 Europe/Berlin"),
                    Hold,
                    Reason::OutsideWindow,
                    "business-hours and annotation lockmaster.dev/window: closed",
                ),
                (
                    |s| annotated(s, "Sun 10:00-12:00 Europe/Berlin"),
                    Hold,
                    Reason::OutsideWindow,
                    "never open at once",
                ),
                (
                    |s| annotated(s, "always"),
                    Deny,
                    Reason::WindowAnnotationInvalid,
                    "it has 1 parts separated by spaces instead of 3",
                ),
                (
                    |s| with_policy(s, |policy| policy.windows.clear()),
                    Hold,
                    Reason::NoWindowDefined,
                    "tier Production needs a change window",
                ),
                (
                    |s| s.facts.windows.clear(),
                    Hold,
                    Reason::NoWindowDefined,
                    "names ChangeWindow business-hours, which does not exist",
                ),
                (
                    |s| {
                        let window = s.facts.windows.get_mut("business-hours").unwrap();
                        window.content = Err("unknown field bogus".into());
                    },
                    Hold,
                    Reason::NoWindowDefined,
                    "unknown field bogus",
                ),
            ],
        );
    }

    #[test]
    fn the_clock_opens_it_when_it_said() {
        let mut snapshot = ready();
        snapshot.now = at("2026-11-24T15:00:00Z");
        let closed = ask(&Window, &snapshot);
        assert_eq!(closed.next_change, Some(at("2026-11-25T08:00:00Z")));
        snapshot.now = closed.next_change.unwrap();
        let open = ask(&Window, &snapshot);
        assert_eq!(
            (open.verdict, open.next_change),
            (Pass, Some(at("2026-11-25T15:00:00Z")))
        );
    }

    #[test]
    fn an_annotation_narrows_and_never_widens() {
        let mut snapshot = ready();
        snapshot.now = at("2026-11-24T15:30:00Z");
        annotated(&mut snapshot, "Tue 00:00-24:00 Europe/Berlin");
        assert_eq!(ask(&Window, &snapshot).reason, Reason::OutsideWindow);
        // Where it is always open it still narrows.
        with_policy(&mut snapshot, |policy| policy.windows = vec![ALWAYS.into()]);
        annotated(&mut snapshot, "Wed 00:00-24:00 Europe/Berlin");
        assert_eq!(ask(&Window, &snapshot).reason, Reason::OutsideWindow);
        // Where no policy names a window, it stands for none.
        with_policy(&mut snapshot, |policy| policy.windows.clear());
        annotated(&mut snapshot, "Mon-Sun 00:00-24:00 UTC");
        assert_eq!(ask(&Window, &snapshot).reason, Reason::NoWindowDefined);
    }

    #[test]
    fn a_rollback_keeps_to_the_window_that_its_requester_wrote() {
        let asked = |text: &str| {
            let mut snapshot = ready();
            roll_back(&mut snapshot);
            annotated(&mut snapshot, text);
            let report = ask(&Window, &snapshot);
            (report.verdict, report.reason)
        };
        let closed = asked("Wed 00:00-24:00 Europe/Berlin");
        assert_eq!(closed, (Hold, Reason::OutsideWindow));
        let open = asked("Tue 00:00-24:00 Europe/Berlin");
        assert_eq!(open, (Pass, Reason::InsideWindow));
        let unreadable = asked("whenever");
        assert_eq!(unreadable, (Deny, Reason::WindowAnnotationInvalid));
    }

    #[test]
    fn a_record_names_the_windows_it_began_in() {
        let window = |snapshot: &Snapshot| {
            let input = snapshot.input();
            in_force(&Case::new(&snapshot.promotions[0], &input))
        };
        let mut snapshot = ready();
        let open = window(&snapshot).unwrap();
        assert_eq!(open.names, ["business-hours"]);
        assert_eq!(open.start, at("2026-11-24T08:00:00Z"));
        assert_eq!(open.end, Some(at("2026-11-24T15:00:00Z")));
        // Of several, those that are open.
        let mut nights = snapshot.facts.windows["business-hours"].clone();
        let calendar = nights.content.as_mut().unwrap();
        let time = |text: &str| serde_json::from_value(text.into()).unwrap();
        calendar.ranges[0].from = time("22:00");
        calendar.ranges[0].to = time("23:00");
        snapshot.facts.windows.insert("nights".into(), nights);
        with_policy(&mut snapshot, |policy| policy.windows.push("nights".into()));
        assert_eq!(window(&snapshot).unwrap().names, ["business-hours"]);
        snapshot.now = at("2026-11-24T15:00:00Z");
        assert_eq!(window(&snapshot), None);
    }
}
