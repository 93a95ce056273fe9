//! What is said of an image while what is attached to it is not known.

use crate::evidence::Evidence;
use crate::facts::{Cause, Observed, Unavailable};
use crate::gate::Finding;
use crate::reason::Reason;
use crate::release::ImageReference;

/// What was seen of an image that is looked up, or what to say until it is.
pub(in crate::gates) fn known<'a>(
    image: &ImageReference,
    observed: &'a Observed<Evidence>,
) -> Result<&'a Evidence, Finding> {
    match observed {
        Observed::Known(evidence) => Ok(evidence),
        Observed::Unavailable(why) => Err(unavailable(why)),
        Observed::Pending => Err(pending(image)),
    }
}

pub(super) fn pending(image: &ImageReference) -> Finding {
    let text = format!("asking {} for it", image.registry());
    Finding::unknown(Reason::EvidencePending, text)
}

pub(super) fn unavailable(why: &Unavailable) -> Finding {
    let Unavailable { cause, message } = why;
    match cause {
        Cause::Unreachable | Cause::Forbidden | Cause::Untrustworthy => Finding::unknown(
            Reason::RegistryUnavailable,
            format!("{message}; it is asked again by itself"),
        ),
        Cause::Missing => Finding::hold(
            Reason::ArtifactMissing,
            format!("{message}; push the image, or name the digest that was pushed"),
        ),
        Cause::Truncated => Finding::unknown(
            Reason::EvidenceTruncated,
            format!("{message}; remove what does not belong there from the registry"),
        ),
    }
}
