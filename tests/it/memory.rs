//! The memory that the chart gives the operator is what its parts may take.

use lockmaster_observe::memory::{PARTS, needed, needed_besides};
use lockmaster_observe::registry::Limits;

use crate::repository::read;

#[test]
fn the_chart_gives_the_memory_that_is_needed_and_little_more() {
    let values = read("charts/lockmaster/values.yaml");
    let (_, limits) = values.split_once("\n  limits:\n").unwrap();
    let mut lines = limits.lines().map(str::trim);
    let given = lines
        .find_map(|line| line.strip_prefix("memory: "))
        .unwrap();
    let given: usize = given.strip_suffix("Mi").unwrap().parse().unwrap();
    let needed = needed().div_ceil(1 << 20);
    assert!(
        needed <= given,
        "{needed} MiB are needed, and {given} given: {PARTS:?}"
    );
    assert!(
        given - needed < 32,
        "{given} MiB are given, and {needed} needed"
    );
}

#[test]
fn longer_bills_of_materials_need_no_more_than_the_documents_say() {
    for path in [
        "charts/lockmaster/values.yaml",
        "docs/reference/registries.md",
    ] {
        assert!(read(path).contains("by 4Mi for each"), "{path}");
    }
    for sbom_mebibytes in 1..=64 {
        let limits = Limits {
            sbom_mebibytes,
            ..Limits::default()
        };
        let above = usize::from(sbom_mebibytes).saturating_sub(16) << 20;
        let besides = needed_besides(&limits);
        assert!(
            besides <= 4 * above && besides >= 2 * above,
            "{sbom_mebibytes} MiB need {besides} bytes"
        );
    }
}
