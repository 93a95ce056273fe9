//! Verification summaries and test results: only the listed words are verdicts.

use lockmaster_core::evidence::{
    Content, SLSA_VSA, TEST_RESULT, TestOutcome, TestResult, VerificationSummary,
};
use serde_json::{Value, json};

use crate::predicates::{judged, problem};

pub(crate) fn summary() -> Value {
    json!({
        "verifier": {"id": "https://verifier.example", "version": {"x": "1"}},
        "timeVerified": "2026-11-24T08:00:00Z",
        "resourceUri": "registry.example/shop/checkout",
        "policy": {"uri": "https://policy.example/1", "digest": {"sha256": "ab"}},
        "inputAttestations": [{"uri": "x", "digest": {"sha256": "cd"}}],
        "verificationResult": "PASSED",
        "verifiedLevels": ["SLSA_BUILD_LEVEL_3"],
        "slsaVersion": "1.2",
    })
}

#[test]
fn a_summary_is_read_with_what_it_is_bound_to() {
    let expected = VerificationSummary {
        verifier: "https://verifier.example".into(),
        time: "2026-11-24T08:00:00Z".parse().ok(),
        resource: "registry.example/shop/checkout".into(),
        policy: Some("https://policy.example/1".into()),
        policy_digest: Some("ab".into()),
        passed: true,
        levels: vec!["SLSA_BUILD_LEVEL_3".into()],
    };
    assert_eq!(judged(SLSA_VSA, &summary()), Content::Summary(expected));
    let mut failed = summary();
    failed["verificationResult"] = "FAILED".into();
    failed.as_object_mut().unwrap().remove("timeVerified");
    let Content::Summary(found) = judged(SLSA_VSA, &failed) else {
        panic!()
    };
    assert_eq!((found.passed, found.time), (false, None));
}

#[test]
fn a_result_in_other_words_is_no_verdict() {
    for result in ["passed", "PASSED ", "", "WARNED", "Passed"] {
        let mut other = summary();
        other["verificationResult"] = result.into();
        let found = problem(SLSA_VSA, &other);
        assert!(found.contains("not PASSED or FAILED"), "{found}");
    }
    for field in [
        "verifier",
        "resourceUri",
        "policy",
        "verificationResult",
        "verifiedLevels",
    ] {
        let mut less = summary();
        less.as_object_mut().unwrap().remove(field);
        let found = problem(SLSA_VSA, &less);
        assert!(
            found.contains(&format!("missing field `{field}`")),
            "{found}"
        );
    }
    let tests = |result: &str| json!({"result": result, "configuration": []});
    for result in ["passed", "SUCCESS", ""] {
        assert!(
            problem(TEST_RESULT, &tests(result)).contains("unknown variant"),
            "{result}"
        );
    }
    let without = problem(TEST_RESULT, &json!({"result": "PASSED"}));
    assert!(
        without.contains("missing field `configuration`"),
        "{without}"
    );
}

#[test]
fn tests_are_counted() {
    let predicate = json!({"result": "FAILED", "configuration": [{}], "url": "https://ci.example/1",
        "passedTests": ["a", "b"], "warnedTests": null, "failedTests": ["c"]});
    let expected = TestResult {
        outcome: TestOutcome::Failed,
        url: Some("https://ci.example/1".into()),
        passed: 2,
        warned: 0,
        failed: 1,
    };
    assert_eq!(judged(TEST_RESULT, &predicate), Content::Tests(expected));
}
