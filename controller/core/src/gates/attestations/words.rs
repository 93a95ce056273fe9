//! What several statements say together: of one authority the newest counts, and a no stands until
//! the same authority says yes later, by a time within what it signed. A trusted timestamp tells
//! until when a signature was made and no more: whoever can push may have the same one stamped again.

use jiff::Timestamp;

use crate::gate::EvidenceReference;

/// What one statement says of one question.
#[derive(Debug, Clone)]
pub(super) struct Word<'a> {
    pub(super) authority: &'a str,
    /// When it was said, by the statement itself.
    pub(super) time: Option<Timestamp>,
    /// When it was signed at the latest: for what is against it, nothing later can have been said.
    pub(super) signed: Option<Timestamp>,
    pub(super) says: Says,
    pub(super) reference: EvidenceReference,
}

/// See [`Word`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Says {
    /// Yes, until this instant.
    Yes(Option<Timestamp>),
    /// Yes, but it does not count by its age, for this reason.
    TooOld(String),
    /// No, for this reason.
    No(String),
    /// It cannot be read, for this reason: it might be a no.
    Unreadable(String),
    /// The entry's rule has no answer about it, for this reason: it might be a no.
    Unanswered(String),
}

/// What all of them say.
#[derive(Debug)]
pub(super) enum Sum<'w, 'a> {
    /// Yes: the newest of those that say so, and when the first of them ends.
    Yes(&'w Word<'a>, Option<Timestamp>),
    /// This one says no, for this reason, and that stands.
    No(&'w Word<'a>, &'w str),
    /// This one cannot be read, for this reason, and might say no.
    Unreadable(&'w Word<'a>, &'w str),
    /// Of this one nobody knows, for this reason, whether the entry's rule allows it.
    Unanswered(&'w Word<'a>, &'w str),
    /// This is the newest, and too old, for this reason.
    TooOld(&'w Word<'a>, &'w str),
    /// Nothing.
    Silence,
}

/// The sum of what was said.
pub(super) fn sum<'w, 'a>(words: &'w [Word<'a>]) -> Sum<'w, 'a> {
    let yes = |word: &&Word<'_>| matches!(word.says, Says::Yes(_));
    let is_beaten = |no: &Word<'_>| {
        let mut later = words.iter().filter(yes);
        let said = no.time.or(no.signed);
        // Without both times nobody knows which one came first.
        later.any(|yes| yes.authority == no.authority && said.is_some() && yes.time > said)
    };
    let mut unanswered = None;
    for word in words.iter().filter(|word| !is_beaten(word)) {
        match &word.says {
            Says::No(why) => return Sum::No(word, why),
            Says::Unreadable(why) => return Sum::Unreadable(word, why),
            Says::Unanswered(why) => unanswered = unanswered.or(Some(Sum::Unanswered(word, why))),
            Says::Yes(_) | Says::TooOld(_) => {}
        }
    }
    // What is known to be a no is said before what may be one.
    if let Some(unanswered) = unanswered {
        return unanswered;
    }
    if let Some(newest) = words.iter().filter(yes).max_by_key(|word| word.time) {
        let ends = words.iter().filter_map(|word| match word.says {
            Says::Yes(until) => until,
            Says::TooOld(_) | Says::No(_) | Says::Unreadable(_) | Says::Unanswered(_) => None,
        });
        return Sum::Yes(newest, ends.min());
    }
    let old = words.iter().filter_map(|word| match &word.says {
        Says::TooOld(why) => Some((word, why)),
        Says::Yes(_) | Says::No(_) | Says::Unreadable(_) | Says::Unanswered(_) => None,
    });
    let newest = old.max_by_key(|(word, _)| word.time);
    newest.map_or(Sum::Silence, |(word, why)| Sum::TooOld(word, why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::at;
    use crate::release::Digest;

    const YES: Says = Says::Yes(None);

    fn no() -> Says {
        Says::No("failed".into())
    }

    /// Words of an authority that name an hour of one day; none for an unknown time.
    fn said(words: &[(&'static str, Option<u8>, Says)]) -> &'static str {
        let words = words.iter().cloned();
        let words: Vec<_> = words
            .map(|(authority, hour, says)| (authority, hour, None, says))
            .collect();
        signed(&words)
    }

    /// The same, each with the hour at which it was signed at the latest.
    fn signed(words: &[(&'static str, Option<u8>, Option<u8>, Says)]) -> &'static str {
        let at = |hour: Option<u8>| hour.map(|hour| at(&format!("2026-11-24T{hour:02}:00:00Z")));
        let words: Vec<_> = words
            .iter()
            .map(|(authority, hour, signed, says)| Word {
                authority,
                time: at(*hour),
                signed: at(*signed),
                says: says.clone(),
                reference: EvidenceReference {
                    authority: String::new(),
                    digest: Digest::of(b""),
                    payload: None,
                    signer: String::new(),
                    signed_at: None,
                },
            })
            .collect();
        match sum(&words) {
            Sum::Yes(..) => "yes",
            Sum::No(..) | Sum::Unreadable(..) => "against",
            Sum::Unanswered(..) => "unanswered",
            Sum::TooOld(..) => "too old",
            Sum::Silence => "silence",
        }
    }

    #[test]
    fn a_no_stands_until_the_same_authority_says_yes_later() {
        assert_eq!(said(&[]), "silence");
        assert_eq!(said(&[("ci", Some(1), YES)]), "yes");
        assert_eq!(
            said(&[("ci", Some(1), YES), ("ci", Some(2), no())]),
            "against"
        );
        assert_eq!(
            said(&[("ci", Some(2), no()), ("ci", Some(1), YES)]),
            "against"
        );
        assert_eq!(said(&[("ci", Some(1), no()), ("ci", Some(2), YES)]), "yes");
        assert_eq!(
            said(&[("ci", Some(1), no()), ("ci", Some(1), YES)]),
            "against"
        );
        assert_eq!(
            said(&[("ci", Some(1), no()), ("qa", Some(2), YES)]),
            "against"
        );
        let unreadable = Says::Unreadable("it is cut off".into());
        assert_eq!(
            said(&[("ci", Some(2), unreadable.clone()), ("ci", Some(1), YES)]),
            "against"
        );
        assert_eq!(
            said(&[("ci", Some(1), unreadable), ("ci", Some(2), YES)]),
            "yes"
        );
    }

    #[test]
    fn what_has_no_answer_may_be_a_no_and_a_no_is_said_first() {
        let open = || Says::Unanswered("it was not asked yet".into());
        assert_eq!(said(&[("ci", Some(1), open())]), "unanswered");
        assert_eq!(
            said(&[("ci", Some(1), YES), ("ci", Some(2), open())]),
            "unanswered"
        );
        assert_eq!(
            said(&[("ci", Some(1), open()), ("ci", Some(2), YES)]),
            "yes"
        );
        assert_eq!(
            said(&[("ci", Some(1), open()), ("qa", Some(2), YES)]),
            "unanswered"
        );
        assert_eq!(
            said(&[("ci", Some(1), open()), ("qa", Some(2), no())]),
            "against"
        );
    }

    #[test]
    fn without_a_time_nobody_knows_what_came_first() {
        assert_eq!(said(&[("ci", None, YES)]), "yes");
        assert_eq!(said(&[("ci", None, no()), ("ci", Some(2), YES)]), "against");
        assert_eq!(said(&[("ci", Some(1), no()), ("ci", None, YES)]), "against");
        assert_eq!(said(&[("ci", None, no()), ("ci", None, YES)]), "against");
    }

    /// Monday's yes, stamped anew after Tuesday's no.
    #[test]
    fn a_later_signature_is_no_later_word() {
        let (none, first, second, third) = (None, Some(1), Some(2), Some(3));
        let restamped = [("ci", none, third, YES), ("ci", none, second, no())];
        assert_eq!(signed(&restamped), "against");
        let of_a_type_with_times = [("ci", first, third, YES), ("ci", second, second, no())];
        assert_eq!(signed(&of_a_type_with_times), "against");
        // What was signed before the yes was said was said before.
        let unreadable = Says::Unreadable("it is cut off".into());
        let later = [("ci", third, third, YES), ("ci", none, second, unreadable)];
        assert_eq!(signed(&later), "yes");
        let stamped_anew = [("ci", second, second, YES), ("ci", none, third, no())];
        assert_eq!(signed(&stamped_anew), "against");
    }

    #[test]
    fn what_is_too_old_beats_nothing() {
        let old = Says::TooOld("yesterday".into());
        assert_eq!(said(&[("ci", Some(1), old.clone())]), "too old");
        assert_eq!(
            said(&[("ci", Some(2), old.clone()), ("ci", Some(1), no())]),
            "against"
        );
        assert_eq!(said(&[("ci", Some(2), old), ("ci", Some(1), YES)]), "yes");
    }
}
