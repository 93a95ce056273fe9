//! Whether what is attached was listed lately: asked of what one further statement would turn into a
//! no, and only right before a promotion begins.

use super::{Question, unavailable};
use crate::evidence::Recency;
use crate::gate::{Finding, Want};
use crate::promotion::Action;
use crate::reason::Reason;

impl Question<'_> {
    /// The answer, unless it is a yes that rests on too old a list. For gates that a way back need not
    /// pass: what they would say of it is told and changes nothing, so no list is asked for.
    pub(in crate::gates) fn lately(&self, answer: Finding) -> Finding {
        if !answer.verdict.is_open() || self.is_way_back() {
            return answer;
        }
        self.listed_lately().err().unwrap_or(answer)
    }

    /// Whether the list is recent, where that is asked. A way back does not wait for a registry that
    /// fails: what it goes to ran here with success, and it is needed most when things are down.
    pub(in crate::gates) fn listed_lately(&self) -> Result<(), Finding> {
        if !self.case.begins {
            return Ok(());
        }
        match self.evidence.listed.recency(self.case.now) {
            Recency::Recent => Ok(()),
            Recency::Failed(_) if self.is_way_back() => Ok(()),
            Recency::Failed(why) => {
                let found = unavailable(why);
                let message = format!(
                    "{}; it begins once the registry says what was attached to {} since {}: see \
                     to it that it answers",
                    found.message,
                    self.image,
                    self.last_listed()
                );
                Err(Finding { message, ..found })
            }
            Recency::Outdated => {
                let text = format!(
                    "asking {} what was attached to {} since {}; it begins once that is answered",
                    self.image.registry(),
                    self.image,
                    self.last_listed()
                );
                let wants = vec![Want::Lists(self.image.clone())];
                Err(Finding::unknown(Reason::EvidencePending, text).wanting(wants))
            }
        }
    }

    pub(super) fn is_way_back(&self) -> bool {
        self.case.promotion.request.action == Action::Rollback
    }

    fn last_listed(&self) -> String {
        // By the minute: the same list looks a moment older or younger to another pass.
        let at = self.evidence.listed.at;
        at.map_or_else(
            || "an unknown time".to_owned(),
            |at| at.strftime("%Y-%m-%dT%H:%MZ").to_string(),
        )
    }
}
