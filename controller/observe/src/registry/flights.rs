//! Looks under way, which all share that ask for the same meanwhile.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};
use lockmaster_core::release::ImageReference;

use super::problem::FetchError;
use super::{Artifact, CredentialIdentity, Credentials, Reach, RegistryClient, lock};

type Flight = BoxFuture<'static, Result<Arc<Artifact>, FetchError>>;
/// What is looked at, with whose credentials, and how far.
pub(super) type FlightKey = (CredentialIdentity, ImageReference, Reach);

/// A look under way, and on whose account it is.
pub(super) type Flying = (Arc<str>, WeakShared<Flight>);

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
        let fetched = self.flight(credentials, image, reach, |_| true).await;
        let own = credentials.namespace();
        let failed = fetched.as_ref().err();
        match failed.and_then(|error| error.problem.account()) {
            // Who began the flight has used up its share; that is nobody else's trouble. Others whose
            // flight may have begun meanwhile are not waited for either.
            Some(namespace) if namespace != own => {
                let flight = self.flight(credentials, image, reach, |other| other == own);
                flight.await
            }
            Some(_) | None => fetched,
        }
    }

    fn flight(
        &self,
        credentials: &Credentials,
        image: &ImageReference,
        reach: Reach,
        joins: impl Fn(&str) -> bool,
    ) -> Shared<Flight> {
        let mut flights = lock(&self.inner.flights);
        let key = (credentials.identity().clone(), image.clone(), reach);
        let known = flights.get(&key).filter(|(whose, _)| joins(whose));
        if let Some(running) = known.and_then(|(_, flight)| flight.upgrade()) {
            return running;
        }
        flights.retain(|_, (_, flight)| flight.upgrade().is_some());
        let (inner, image) = (Arc::clone(&self.inner), image.clone());
        let credentials = credentials.clone();
        let whose = Arc::from(credentials.namespace());
        let flight: Shared<Flight> =
            async move { inner.fetch(&credentials, &image, reach).await.map(Arc::new) }
                .boxed()
                .shared();
        if let Some(weak) = flight.downgrade() {
            flights.insert(key, (whose, weak));
        }
        flight
    }
}
