//! Which annotation a decision goes into: the role's own slot, or the next free one.

use std::collections::BTreeMap;

use lockmaster_core::approval::{APPROVAL_PREFIX, Approval, role_of};
use lockmaster_core::plan::PublishedPlan;

/// Slots of a role that are tried: a policy asks for at most 8 people of a role, and a decision on
/// an older plan may still fill one.
const SLOTS: u32 = 16;

/// Where a decision goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    /// The slot: `role`, or `role.2` and so on.
    pub(crate) slot: String,
    /// Own decisions on older plans in other slots: they go in the same write, because the guard
    /// lets a person hold one slot only.
    pub(crate) stale: Vec<String>,
}

/// Chooses the slot for `me` in `role`.
///
/// The guard refuses to touch another person's slot (V11) and to give a person a second one (V8);
/// this finds the slot that neither forbids, and says beforehand where there is none.
pub(crate) fn choose(
    role: &str,
    me: &str,
    plan: &PublishedPlan,
    annotations: &BTreeMap<String, String>,
    latched: &[Approval],
) -> Result<Choice, String> {
    let on_this_plan: Vec<_> = latched
        .iter()
        .filter(|approval| approval.content == plan.content)
        .collect();
    let mut own = on_this_plan.iter().filter(|approval| approval.by == me);
    let mut mine: Option<String> = own.next().map(|approval| approval.slot.clone());
    let mut stale = Vec::new();
    for (slot, value) in slots(annotations) {
        let Some(written) = Written::read(value).filter(|written| written.by == me) else {
            continue;
        };
        let current = written.plan == plan.hash.as_str();
        let usable = role_of(slot) == role && mine.is_none();
        if current || usable {
            mine.get_or_insert_with(|| slot.to_owned());
        }
        if mine.as_deref() != Some(slot) {
            stale.push(slot.to_owned());
        }
    }
    if let Some(slot) = mine {
        return if role_of(&slot) == role {
            Ok(Choice { slot, stale })
        } else {
            Err(format!(
                "you decided on this plan already, in slot {slot}: one person, one slot"
            ))
        };
    }
    let taken = |slot: &str| {
        annotations.contains_key(&format!("{APPROVAL_PREFIX}{slot}"))
            || on_this_plan.iter().any(|approval| approval.slot == slot)
    };
    let all = std::iter::once(role.to_owned()).chain((2..=SLOTS).map(|n| format!("{role}.{n}")));
    all.into_iter()
        .find(|slot| !taken(slot))
        .map(|slot| Choice { slot, stale })
        .ok_or_else(|| format!("every slot of role {role} is taken"))
}

fn slots(annotations: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, &str)> {
    annotations.iter().filter_map(|(key, value)| {
        let slot = key.strip_prefix(APPROVAL_PREFIX)?;
        Some((slot, value.as_str()))
    })
}

/// A decision as far as the guard looks at one that is stored.
struct Written<'a> {
    by: &'a str,
    plan: &'a str,
}

impl<'a> Written<'a> {
    fn read(value: &'a str) -> Option<Self> {
        let mut fields = value.splitn(5, ';');
        let (_, by, plan) = (fields.next()?, fields.next()?, fields.next()?);
        Some(Self {
            by: by.strip_prefix("by=")?,
            plan: plan.strip_prefix("plan=")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use lockmaster_core::approval::{ApprovalSource, Vote, render};
    use lockmaster_core::release::Digest;

    use super::*;
    use crate::plan::tests::published;

    fn written(slot: &str, by: &str, plan: &Digest) -> (String, String) {
        let value = render(Vote::Approve, by, plan, "", "go");
        (format!("{APPROVAL_PREFIX}{slot}"), value)
    }

    fn latched(slot: &str, by: &str, content: &Digest) -> Approval {
        Approval {
            role: role_of(slot).into(),
            slot: slot.into(),
            decision: Vote::Approve,
            by: by.into(),
            reference: String::new(),
            reason: "go".into(),
            content: content.clone(),
            at: "2026-12-02T10:15:00Z".parse().unwrap(),
            source: ApprovalSource::Annotation,
        }
    }

    #[track_caller]
    fn check(annotations: &[(String, String)], latched: &[Approval], expect: Result<&str, &str>) {
        let annotations = annotations.iter().cloned().collect();
        let plan = published();
        let choice = choose("release-manager", "alice", &plan, &annotations, latched);
        match (choice, expect) {
            (Ok(choice), Ok(slot)) => assert_eq!(choice.slot, slot),
            (Err(text), Err(part)) => assert!(text.contains(part), "{text}"),
            (choice, expect) => panic!("{choice:?} instead of {expect:?}"),
        }
    }

    #[test]
    fn the_first_slot_is_the_role() {
        check(&[], &[], Ok("release-manager"));
        let security = written("security", "carol", &published().hash);
        check(&[security], &[], Ok("release-manager"));
    }

    #[test]
    fn somebody_elses_slot_is_left_alone() {
        let plan = published();
        let carol = written("release-manager", "carol", &plan.hash);
        check(std::slice::from_ref(&carol), &[], Ok("release-manager.2"));
        // Also on an older plan, and when it cannot be read: the guard keeps it for its writer.
        check(
            &[written("release-manager", "carol", &Digest::of(b"old"))],
            &[],
            Ok("release-manager.2"),
        );
        let odd = (
            format!("{APPROVAL_PREFIX}release-manager"),
            "LGTM".to_owned(),
        );
        check(&[odd], &[], Ok("release-manager.2"));
        let dora = written("release-manager.2", "dora", &plan.hash);
        check(&[carol, dora], &[], Ok("release-manager.3"));
    }

    #[test]
    fn a_latched_slot_is_taken_after_its_annotation_vanished() {
        let plan = published();
        let carol = latched("release-manager", "carol", &plan.content);
        check(&[], std::slice::from_ref(&carol), Ok("release-manager.2"));
        let old = latched("release-manager", "carol", &Digest::of(b"old"));
        check(&[], &[old], Ok("release-manager"));
    }

    #[test]
    fn minds_can_be_changed_in_the_own_slot() {
        let plan = published();
        let carol = written("release-manager", "carol", &plan.hash);
        let alice = written("release-manager.2", "alice", &plan.hash);
        check(&[carol, alice], &[], Ok("release-manager.2"));
        let mine = latched("release-manager.2", "alice", &plan.content);
        check(&[], &[mine], Ok("release-manager.2"));
    }

    #[test]
    fn one_person_has_one_slot() {
        let plan = published();
        let check_refused = |annotations: &[(String, String)], latched: &[Approval]| {
            check(annotations, latched, Err("in slot security"));
        };
        check_refused(&[written("security", "alice", &plan.hash)], &[]);
        check_refused(&[], &[latched("security", "alice", &plan.content)]);
    }

    #[test]
    fn own_decisions_on_older_plans_make_room() {
        let annotations = BTreeMap::from([written("security", "alice", &Digest::of(b"old"))]);
        let choice = choose("release-manager", "alice", &published(), &annotations, &[]).unwrap();
        assert_eq!(
            choice,
            Choice {
                slot: "release-manager".into(),
                stale: vec!["security".into()]
            }
        );
        let annotations = BTreeMap::from([written("release-manager", "alice", &Digest::of(b"x"))]);
        let choice = choose("release-manager", "alice", &published(), &annotations, &[]).unwrap();
        assert_eq!(choice.slot, "release-manager");
        assert!(choice.stale.is_empty());
    }
}
