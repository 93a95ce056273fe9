//! Whether a signature is that of an authority: all of its conditions, met by one signature.

use jiff::Timestamp;

use super::Question;
use crate::evidence::{BuildClaims, Bundle, Identity, KeyId, Signer, Verified};
use crate::facts::trusted_root;
use crate::policy::{Authority, ClaimRule, KeyText};
use crate::release::{Digest, clip};
use crate::revocation::{of_bundle, of_signer};

/// How the trigger of a build begins that strangers can cause: GitHub runs it for a change that nobody
/// has accepted yet.
pub(in crate::gates) const STRANGERS_TRIGGER: &str = "pull_request";

/// A signature that an authority stands for.
#[derive(Debug, Clone, Copy)]
pub(in crate::gates) struct Signature<'a> {
    verified: &'a Verified,
}

impl<'a> Signature<'a> {
    /// Who made it.
    pub(in crate::gates) fn by(self) -> &'a Signer {
        &self.verified.signer
    }

    /// What is signed here a second time, by whatever other signature, has the same maker: the same
    /// key, or the same identity at the same issuer.
    pub(in crate::gates) fn is_by_same(self, other: Signature<'_>) -> bool {
        match (self.by(), other.by()) {
            (Signer::Key(one), Signer::Key(another)) => one == another,
            (Signer::Identity(one), Signer::Identity(another)) => {
                one.issuer == another.issuer && one.subject == another.subject
            }
            (Signer::Key(_), Signer::Identity(_)) | (Signer::Identity(_), Signer::Key(_)) => false,
        }
    }

    /// When it was made at the latest, by the earliest trusted timestamp.
    pub(in crate::gates) fn at(self) -> Option<Timestamp> {
        self.verified.times.first().copied()
    }

    /// What the certificate says of the build; nothing for a key.
    pub(in crate::gates) fn claims(self) -> Option<&'a BuildClaims> {
        match self.by() {
            Signer::Identity(identity) => Some(&identity.claims),
            Signer::Key(_) => None,
        }
    }
}

/// Why a bundle is not an authority's. For messages only: all of them are closed.
pub(in crate::gates) enum Diagnosis {
    /// It verifies, and would count but for this.
    Nearly(String),
    /// It says that it is theirs and does not verify; why, where that is known, after a colon.
    Bad(String),
    /// Somebody else made it, who is named where that is proven.
    Stranger(Option<String>),
}

/// Why a signature that verifies is not an authority's.
enum Refusal {
    /// It is somebody else's, or was not checked under what the authority trusts.
    Stranger,
    /// It would be, but for this.
    Because(String),
}

fn because<T>(text: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Because(text.into()))
}

impl Question<'_> {
    /// The signature by which the bundle is the authority's, where the authority may sign this
    /// predicate type at all.
    pub(in crate::gates) fn signer<'b>(
        &self,
        authority: &str,
        predicate: &str,
        bundle: &'b Bundle,
    ) -> Option<Signature<'b>> {
        let authority = self.content.policy.authority(authority)?;
        let may = authority
            .predicate_types
            .iter()
            .any(|kind| kind == predicate);
        let mut signatures = bundle.verified_by.iter();
        let verified =
            signatures.find(|verified| may && self.accept(authority, bundle, verified).is_ok())?;
        Some(Signature { verified })
    }

    /// Whether the bundle's maker is also this authority's, whatever that may sign and whenever.
    pub(in crate::gates) fn is_also_of(&self, authority: &str, bundle: &Bundle) -> bool {
        let authority = self.content.policy.authority(authority);
        authority.is_some_and(|authority| {
            let mut signatures = bundle.verified_by.iter();
            signatures.any(|verified| match self.accept(authority, bundle, verified) {
                Ok(()) | Err(Refusal::Because(_)) => true,
                Err(Refusal::Stranger) => false,
            })
        })
    }

    /// Why a bundle is not one of these authorities'.
    pub(in crate::gates) fn diagnose(&self, authorities: &[String], bundle: &Bundle) -> Diagnosis {
        let named = authorities.iter();
        let named = named.filter_map(|name| self.content.policy.authority(name));
        let known: Vec<_> = named.collect();
        let nearly = known.iter().find_map(|authority| {
            bundle.verified_by.iter().find_map(|verified| {
                match self.accept(authority, bundle, verified) {
                    Ok(()) | Err(Refusal::Stranger) => None,
                    Err(Refusal::Because(text)) => Some(text),
                }
            })
        });
        if let Some(text) = nearly {
            return Diagnosis::Nearly(text);
        }
        if bundle.verified_by.is_empty() {
            let mut roots = known.iter().filter_map(|authority| self.root_of(authority));
            if let Some(why) = roots.find_map(|root| bundle.failures.get(root)) {
                return Diagnosis::Bad(format!(": {why}"));
            }
            if self.claims_to_be_from(authorities, bundle) {
                let why = bundle.key_problem.as_ref();
                return Diagnosis::Bad(why.map_or_else(String::new, |why| format!(": {why}")));
            }
        }
        let made = bundle.verified_by.first();
        Diagnosis::Stranger(made.map(|verified| verified.signer.to_string()))
    }

    fn root_of(&self, authority: &Authority) -> Option<&Digest> {
        let name = authority.trusted_root.as_deref()?;
        let root = trusted_root(&self.case.facts.trusted_roots, name).ok()?;
        Some(&root.digest)
    }

    fn accept(
        &self,
        authority: &Authority,
        bundle: &Bundle,
        verified: &Verified,
    ) -> Result<(), Refusal> {
        if verified.root.as_ref() != self.root_of(authority) {
            return Err(Refusal::Stranger);
        }
        match &verified.signer {
            Signer::Key(key) => self.accept_key(authority, verified, key)?,
            Signer::Identity(identity) => self.accept_identity(authority, identity)?,
        }
        if bundle.carrier.is_legacy() && !authority.accepts_legacy() {
            return because(
                "it is in a format from before the Sigstore bundle, which the authority refuses; \
                 sign with cosign 3, or set legacy: Accept",
            );
        }
        self.accept_standing(bundle, verified)
    }

    /// Nobody has revoked the bundle, or its signer by the time it was made.
    fn accept_standing(&self, bundle: &Bundle, verified: &Verified) -> Result<(), Refusal> {
        let Verified { signer, times, .. } = verified;
        let (all, now) = (&self.case.facts.revocations, self.case.now);
        if let Some(revoked) = of_bundle(all, self.evidence, bundle) {
            return because(format!(
                "it is revoked by {revoked}; say something else, or sign with another key or \
                 identity"
            ));
        }
        of_signer(all, signer, times, now).map_or(Ok(()), |revoked| {
            because(format!(
                "its signer is revoked by {revoked}; sign again with another key or identity"
            ))
        })
    }

    fn accept_key(
        &self,
        authority: &Authority,
        verified: &Verified,
        key: &KeyId,
    ) -> Result<(), Refusal> {
        let ids = self.content.keys_of(&authority.name).iter();
        let mut named = ids.zip(&authority.keys).filter(|(id, _)| *id == key);
        let Some((_, text)) = named.next() else {
            return Err(Refusal::Stranger);
        };
        if authority.require_transparency_log && !verified.logged {
            return because(
                "it is in no transparency log, and the authority asks for that; sign without \
                 --tlog-upload=false",
            );
        }
        let now = [self.case.now];
        let times = if verified.times.is_empty() {
            now.as_slice()
        } else {
            &verified.times
        };
        times
            .iter()
            .find_map(|time| invalid_at(text, *time, verified.times.is_empty()))
            .map_or(Ok(()), because)
    }

    fn accept_identity(&self, authority: &Authority, identity: &Identity) -> Result<(), Refusal> {
        let Identity {
            issuer,
            subject,
            claims,
        } = identity;
        match &authority.keyless {
            Some(keyless) if keyless.names(issuer, subject) => {
                self.accept_claims(keyless.claims.as_ref(), claims)
            }
            Some(_) | None => Err(Refusal::Stranger),
        }
    }

    /// The build ran for the product's own source, and nobody else could start it.
    fn accept_claims(&self, rule: Option<&ClaimRule>, claims: &BuildClaims) -> Result<(), Refusal> {
        let default = ClaimRule::default();
        let asked = rule.unwrap_or(&default);
        match &claims.source_repository {
            None if rule.is_some() => return because("its certificate names no source repository"),
            None => {}
            Some(repository) if asked.source_repositories.is_empty() => {
                self.accept_repository(repository)?;
            }
            Some(repository) if asked.source_repositories.contains(repository) => {}
            Some(repository) => {
                let repository = clip(repository);
                return because(format!(
                    "its build ran for {repository}, which claims.sourceRepositories does not list"
                ));
            }
        }
        match &claims.trigger {
            None if asked.triggers.is_empty() => Ok(()),
            None => because("its certificate does not say what started the build"),
            Some(trigger) if asked.triggers.contains(trigger) => Ok(()),
            Some(trigger)
                if asked.triggers.is_empty() && !trigger.starts_with(STRANGERS_TRIGGER) =>
            {
                Ok(())
            }
            Some(trigger) => because(format!(
                "its build was started by {}, which is not accepted; sign in a build of a branch or \
                 tag",
                clip(trigger)
            )),
        }
    }

    fn accept_repository(&self, repository: &str) -> Result<(), Refusal> {
        let environment = self.case.environment;
        let listed = self.content.policy.sources.iter().any(|rule| {
            rule.covers(&environment.namespace, &environment.product)
                && rule.repositories.iter().any(|listed| listed == repository)
        });
        let source = self
            .case
            .release
            .and_then(|release| release.source.as_ref());
        match source {
            _ if !listed => because(format!(
                "its build ran for {}, which spec.sources[].repositories does not list \
                 for {} in namespace {}",
                clip(repository),
                environment.product,
                environment.namespace
            )),
            Some(source) if source.repository != repository => because(format!(
                "its build ran for {}, and the Release names {}",
                clip(repository),
                clip(&source.repository)
            )),
            Some(_) | None => Ok(()),
        }
    }
}

/// Why a signature of this time is not by a key that was valid (CVE-2026-54787).
fn invalid_at(key: &KeyText, time: Timestamp, is_now: bool) -> Option<String> {
    let KeyText {
        pem: _,
        valid_from,
        valid_until,
        revoked_from,
    } = key;
    let made = if is_now {
        "it has no trusted timestamp, so it is judged as if made now".to_owned()
    } else {
        format!("it was made at {time}")
    };
    if valid_from.is_some_and(|from| time < from) {
        return Some(format!(
            "{made}, and its key is valid from {}",
            show(*valid_from)
        ));
    }
    if revoked_from.is_some_and(|from| time >= from) {
        let from = show(*revoked_from);
        return Some(format!(
            "{made}, and its key is revoked from {from}; sign again with another key"
        ));
    }
    if valid_until.is_some_and(|until| time >= until) {
        let until = show(*valid_until);
        return Some(format!(
            "{made}, and its key was valid until {until}; sign again with its successor"
        ));
    }
    None
}

fn show(instant: Option<Timestamp>) -> String {
    instant.map_or_else(String::new, |instant| instant.to_string())
}

#[cfg(test)]
mod tests;
