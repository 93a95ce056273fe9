# Everything here is cargo underneath. CI runs .ci/run, which runs the same commands.

# Formatting, lints as errors, the dependency rules.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# Everything that needs no test bed.
test:
    cargo test --workspace --exclude lockmaster-tests
    cargo test -p lockmaster-tests --lib --test it --test conformance --test fuzz

# Each crate by itself: built together, one crate's features can hide what another one lacks.
check-alone:
    for crate in core api verify rego observe operator cli; do cargo check --quiet -p "lockmaster-$crate" || exit 1; done

# The custom resource definitions, from the Rust types into crds/ and the chart.
crds:
    cargo run --quiet -p lockmaster-api --bin crdgen -- crds charts/lockmaster/files/crds

# Against a real API server, registry and cosign; the first run builds them (about 15 minutes).
e2e:
    cargo test -p lockmaster-tests --test e2e

# A signed image goes through three environments of a real API server on this machine.
demo:
    cargo demo

# Licences, banned crates and sources; needs cargo-deny.
deny:
    cargo deny check bans licenses sources

# Advisories about what is built; needs cargo-deny and the network, so CI does not ask. Before a release.
advisories:
    cargo deny check advisories
