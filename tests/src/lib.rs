//! The test bed: real components on loopback, as a small library.
//!
//! Nothing is simulated but nodes and pods: etcd, API server, controllers, registries, cosign, helm
//! and kubectl are the released programs, built once from pinned Go modules. Read in this order:
//!
//! - [`launch`] and [`child`]: processes that never outlive the test
//! - [`tools`] and [`product`]: what is built, and where it is kept
//! - [`cluster`], with [`pki`] and [`audit`]: the control plane, people, what they did
//! - [`registry`], [`image`], [`cosign`] and [`evidence`], [`referrer`], [`layout`]: images and what
//!   is known of them
//! - [`sigstore`]: keyless signing, built and started when a test first asks for it
//! - [`proxy`]: count, hold and cut what passes between two of them
//! - [`operator`]: Lockmaster itself, to be killed and started again
//! - [`bed`]: all of it at once; [`environment_file`]: what a shell must know to play with it
//! - [`shop`] and [`scenario`]: what the demo plays and the end-to-end tests assert
//!
//! - [`handmade`] and [`benchmark`]: many images at once, and how fast they are judged
//! - [`differential`]: many more, spoilt in every way, and whether cosign judges them the same
//!
//! The first line of `main` in every binary that uses it must be [`launch::intercept`].

pub mod audit;
pub mod bed;
pub mod benchmark;
pub mod child;
pub mod cluster;
pub mod cosign;
pub mod differential;
pub mod environment_file;
pub mod evidence;
pub mod handmade;
pub mod image;
pub mod interruption;
pub mod launch;
pub mod layout;
pub mod operator;
pub mod pki;
pub mod product;
pub mod progress;
pub mod proxy;
pub mod referrer;
pub mod registry;
pub mod scenario;
pub mod shop;
pub mod sigstore;
pub mod tools;
