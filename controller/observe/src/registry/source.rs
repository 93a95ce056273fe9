//! Where everything is read: registries, or one directory in their place.

use std::sync::Arc;

use lockmaster_core::release::ImageReference;

use super::endpoint::Site;
use super::layout::Layout;
use super::traffic::TrafficEvent;
use super::transport::Transport;

/// The one place of a client.
pub(super) enum Source {
    /// Registries, over the network.
    Registries(Transport),
    /// A directory, and no network.
    Layout(Layout),
}

impl Source {
    /// Where the image's registry is, unless it is read from elsewhere or has an impossible name.
    pub(super) fn site(&self, image: &ImageReference) -> Option<Arc<Site>> {
        match self {
            Self::Registries(transport) => transport.site(image.registry()).ok(),
            Self::Layout(_) => None,
        }
    }

    /// Notes what happened at the image's registry.
    pub(super) fn note(&self, image: &ImageReference, event: TrafficEvent) {
        match self {
            Self::Registries(transport) => transport.traffic.note(image.registry(), event),
            Self::Layout(_) => {}
        }
    }

    /// The hosts that are left alone now.
    pub(super) fn left_alone(&self) -> Vec<String> {
        match self {
            Self::Registries(transport) => transport.traffic.left_alone(),
            Self::Layout(_) => Vec::new(),
        }
    }

    /// Lets a test follow a redirection to a server of its own, with this certificate.
    #[cfg(test)]
    pub(super) fn follow_to(&mut self, pem: &str) {
        match self {
            Self::Registries(transport) => transport.sites_mut().follow_to(pem),
            Self::Layout(_) => panic!("a layout redirects nobody"),
        }
    }
}
