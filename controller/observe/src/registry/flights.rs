//! Looks under way, which all share that ask for the same meanwhile.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};
use lockmaster_core::release::ImageReference;

use super::problem::FetchError;
use super::{Artifact, CredentialIdentity, Credentials, Reach, RegistryClient, Waiters, lock};

type Flight = BoxFuture<'static, Result<Arc<Artifact>, FetchError>>;
/// What is looked at, with whose credentials, and how far.
pub(super) type FlightKey = (CredentialIdentity, ImageReference, Reach);

/// A look under way, and who waits for it.
pub(super) type Flying = (Waiters, WeakShared<Flight>);

impl RegistryClient {
    /// Reads the image's manifest and what is attached to it, as far as `reach` says. Callers that
    /// ask for the same with the same credentials meanwhile get the same answer from the same
    /// requests.
    pub async fn look(
        &self,
        image: &ImageReference,
        credentials: &Credentials,
        reach: Reach,
    ) -> Result<Arc<Artifact>, FetchError> {
        let waiters = Waiters::of(credentials.namespace());
        self.look_on_behalf_of(&waiters, image, credentials, reach)
            .await
    }

    /// The same, which goes on the account of whoever of these has a turn first.
    pub async fn look_on_behalf_of(
        &self,
        waiters: &Waiters,
        image: &ImageReference,
        credentials: &Credentials,
        reach: Reach,
    ) -> Result<Arc<Artifact>, FetchError> {
        let own = credentials.namespace();
        let fetched = self.flight(waiters, credentials, image, reach, |_| true);
        let fetched = fetched.await;
        let failed = fetched.as_ref().err();
        match failed.and_then(|error| error.problem.account()) {
            // Who began the flight has used up its share; that is nobody else's trouble. Others whose
            // flight may have begun meanwhile are not waited for either.
            Some(namespace) if namespace != own && namespace != &*waiters.account() => {
                let joins = |others: &Waiters| &*others.account() == own;
                let flight = self.flight(waiters, credentials, image, reach, joins);
                flight.await
            }
            Some(_) | None => fetched,
        }
    }

    fn flight(
        &self,
        waiters: &Waiters,
        credentials: &Credentials,
        image: &ImageReference,
        reach: Reach,
        joins: impl Fn(&Waiters) -> bool,
    ) -> Shared<Flight> {
        let mut flights = lock(&self.inner.flights);
        let key = (credentials.identity().clone(), image.clone(), reach);
        let known = flights.get(&key).filter(|(others, _)| joins(others));
        if let Some((others, flight)) = known
            && let Some(running) = flight.upgrade()
            // One that has ended is still there as long as somebody has not heard of it.
            && running.peek().is_none()
        {
            waiters.follow(others);
            return running;
        }
        flights.retain(|_, (_, flight)| flight.upgrade().is_some());
        let (inner, image) = (Arc::clone(&self.inner), image.clone());
        let (credentials, own) = (credentials.clone(), waiters.clone());
        let flight: Shared<Flight> = async move {
            let fetched = inner.fetch(&own, credentials, &image, reach).await;
            fetched.map(Arc::new)
        }
        .boxed()
        .shared();
        if let Some(weak) = flight.downgrade() {
            flights.insert(key, (waiters.clone(), weak));
        }
        flight
    }
}

#[cfg(test)]
mod tests {
    use super::super::lying::{LyingRegistry, nobody};
    use super::*;

    /// Else who looks again right then gets what it knows already.
    #[tokio::test]
    async fn a_flight_that_has_ended_is_not_joined() {
        let registry = LyingRegistry::start().await;
        let (client, image) = (registry.client(), registry.image());
        let fly = || {
            let waiters = Waiters::of("shop");
            client.flight(&waiters, &nobody(), &image, Reach::Referrers, |_| true)
        };
        let first = fly();
        let not_told_yet = fly();
        let _ = first.await;
        assert!(not_told_yet.peek().is_some(), "it was the same");
        assert!(fly().peek().is_none(), "this one begins");
    }
}
