//! Which addresses may be connected to, decided after resolving: public ones, and for registries
//! that are listed so, private ones.
//!
//! The connection is made to the address that was checked, so that a name which resolves to another
//! address a moment later gains nothing (server-side request forgery through registry names:
//! CVE-2026-22772, CVE-2026-49478, CVE-2026-4789).

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// The name resolves to an address that must not be connected to.
#[derive(Debug, thiserror::Error)]
#[error(
    "{host} has the address {address}, {}", why(*.reach)
)]
pub(super) struct Refused {
    host: String,
    address: IpAddr,
    reach: Reach,
}

fn why(reach: Reach) -> &'static str {
    match reach {
        Reach::Public => {
            "which is not public; a registry on a private network must be listed with \
             privateAddresses: true"
        }
        Reach::Private => "which is never connected to: clouds have their metadata there",
    }
}

/// Which addresses a place may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Public ones.
    Public,
    /// Those of private networks and of the machine too; link-local ones never.
    Private,
}

/// Resolves with the system's resolver and passes on what is within reach; one address that is not
/// refuses the name altogether.
pub(super) struct Within(pub(super) Reach);

impl Resolve for Within {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let addresses: Vec<SocketAddr> =
                tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            for address in &addresses {
                check(&host, address.ip(), reach)?;
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Refuses an address that is out of reach.
pub(super) fn check(host: &str, address: IpAddr, reach: Reach) -> Result<(), Refused> {
    let within = match reach {
        Reach::Public => is_public(address),
        Reach::Private => is_public(address) || is_private(address),
    };
    if within {
        return Ok(());
    }
    Err(Refused {
        host: host.to_owned(),
        address,
        reach,
    })
}

/// An address in the place of a name does not pass through the resolver.
pub(super) fn check_literal(url: &Url, reach: Reach) -> Result<(), Refused> {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse()
        .map_or(Ok(()), |address| check(host, address, reach))
}

/// Finds the refusal among the sources of an error of the client.
pub(super) fn refusal<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Refused> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(refused) = error.downcast_ref::<Refused>() {
            return Some(refused);
        }
        next = error.source();
    }
    None
}

/// Private networks (RFC 1918, RFC 4193), shared ones (RFC 6598) and the machine itself.
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, ..] = address.octets();
            address.is_private() || address.is_loopback() || (a == 100 && (64..128).contains(&b))
        }
        // The metadata service of one cloud has an address of its own among the private ones.
        IpAddr::V6(address) => {
            let metadata = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
            address.is_loopback() || (address.is_unique_local() && address != metadata)
        }
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// The IANA special-purpose registry (RFC 6890 and its updates).
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = a == 0
        || a >= 224
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19));
    !special
}

/// Global unicast (2000::/3) without what embeds or stands for something else. Addresses that carry
/// an IPv4 address are judged by it.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let bits = address.to_bits();
    let embedded = || {
        is_public_v4(Ipv4Addr::from_bits(
            u32::try_from(bits & 0xffff_ffff).unwrap_or(0),
        ))
    };
    // IPv4-mapped (::ffff:0:0/96) and NAT64 (64:ff9b::/96).
    if matches!(bits >> 32, 0xffff | 0x0064_ff9b_0000_0000_0000_0000) {
        return embedded();
    }
    match address.segments() {
        // Documentation, Teredo and the rest of 2001:0::/23, 6to4.
        [0x2001, 0x0db8 | 0..=0x01ff, ..] | [0x2002, ..] => false,
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_pass() {
        for public in [
            "8.8.8.8",
            "172.32.0.1",
            "100.128.0.1",
            "2606:4700::1",
            "::ffff:8.8.8.8",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for special in [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "198.18.0.1",
            "192.0.0.1",
            "203.0.113.1",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "2002:7f00:1::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a00:1",
            "::127.0.0.1",
            "fec0::1",
        ] {
            assert!(!is_public(special.parse().unwrap()), "{special}");
        }
    }

    #[test]
    fn private_addresses_are_within_reach_where_listed_and_metadata_never() {
        let within = |address: &str| check("a", address.parse().unwrap(), Reach::Private).is_ok();
        for address in [
            "10.0.0.1",
            "127.0.0.1",
            "100.64.0.1",
            "::1",
            "fd00::1",
            "8.8.8.8",
        ] {
            assert!(within(address), "{address}");
        }
        for address in [
            "169.254.169.254",
            "fe80::1",
            "fd00:ec2::254",
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "255.255.255.255",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
        ] {
            assert!(!within(address), "{address}");
        }
        let url = Url::parse("https://[::ffff:169.254.169.254]/latest").unwrap();
        let text = check_literal(&url, Reach::Private).unwrap_err().to_string();
        assert!(text.contains("never connected to"), "{text}");
    }

    #[tokio::test]
    async fn a_name_of_a_private_address_is_refused() {
        let resolve = async |reach| {
            let name: Name = "localhost".parse().unwrap();
            Within(reach).resolve(name).await.map(|_| ())
        };
        let error = resolve(Reach::Public).await.unwrap_err();
        let text = refusal(error.as_ref()).unwrap().to_string();
        assert!(text.starts_with("localhost has the address"), "{text}");
        assert!(resolve(Reach::Private).await.is_ok());
    }
}
