//! What the targets begin with: one input a line, of each shape that is read, so that changes of them
//! reach what lies deep in it.

pub(crate) const REFERENCES: &[&str] = &[
    "registry.example/shop/checkout@sha256:9f2c41d07a119f2c41d07a119f2c41d07a119f2c41d07a119f2c41d07a11abcd",
    "localhost:5000/a/b__c-d.e@sha256:9f2c41d07a119f2c41d07a119f2c41d07a119f2c41d07a119f2c41d07a11abcd",
    "1.42.0-rc.1",
];

pub(crate) const CHALLENGES: &[&str] = &[
    r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a:pull""#,
    "Basic realm=x\nBearer realm=\"a, \\\"b\\\"\", error=\"invalid_token\"",
    "Negotiate, Basic realm=\"a\" , Bearer realm = b",
];

pub(crate) const LINKS: &[&str] = &[
    r#"</v2/a/referrers/x?n=1>; rel="next""#,
    "<https://registry.example/b>; rel=\"prev\", <//evil.example/b>;rel=next",
];

/// The header `Content-Type`, then the document.
pub(crate) const MANIFESTS: &[&str] = &[
    concat!(
        "application/vnd.oci.image.manifest.v1+json\n",
        r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"#,
        r#""mediaType":"a","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"#,
        r#""layers":[{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}],"#,
        r#""annotations":{"dev.sigstore.bundle.predicateType":"https://slsa.dev/provenance/v1"}}"#
    ),
    concat!(
        "application/vnd.oci.image.index.v1+json; charset=utf-8\n",
        r#"{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","#,
        r#""digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}]}"#
    ),
];

pub(crate) const PATTERNS: &[&str] = &["a*/**c\nab/d/c", "refs/tags/v*\nrefs/tags/v1"];

pub(crate) const WINDOWS: &[&str] = &["Tue-Thu 10:00-12:00 Europe/Berlin", "Mon 00:00-24:00 UTC"];

/// Answers of token services.
pub(crate) const TOKENS: &[&str] = &[
    r#"{"token":"a","expires_in":60}"#,
    r#"{"access_token":"a"}"#,
];

/// Pull secrets.
pub(crate) const DOCKER_CONFIGS: &[&str] = &[
    r#"{"auths":{"registry.example":{"auth":"dXNlcjpwYXNzd29yZA=="},"https://index.docker.io/v1/":{"username":"a","password":"b"}}}"#,
];

/// Statements of both versions.
pub(crate) const STATEMENTS: &[&str] = &[
    r#"{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"a","digest":{"sha256":"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}}],"predicateType":"https://sigstore.dev/cosign/sign/v1","predicate":{}}"#,
    r#"{"_type":"https://in-toto.io/Statement/v0.1","subject":[{"name":"a","digest":{"sha1":"ab"}},{"digest":{"sha256":"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}},{}],"predicateType":"https://example.com/custom/v1","predicate":{"Data":"{\"coverage\": 81}","Timestamp":"2026-11-24T21:59:28Z"}}"#,
    r#"{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}}],"predicateType":"https://in-toto.io/attestation/test-result/v0.1","predicate":{"result":"FAILED","configuration":[{"name":"unit.yml","digest":{"sha256":"ab"}}],"url":"https://ci.example/runs/7","passedTests":["a","b"],"warnedTests":[],"failedTests":["c"]}}"#,
];

/// Provenance of each version and build type.
pub(crate) const SLSA: &[&str] = &[
    r#"{"buildDefinition":{"buildType":"https://actions.github.io/buildtypes/workflow/v1","externalParameters":{"workflow":{"ref":"refs/tags/v1","repository":"https://git.example/a","path":".github/workflows/b.yml"}},"resolvedDependencies":[{"uri":"git+https://git.example/a@refs/tags/v1","digest":{"gitCommit":"4b825dc642cb6eb9a060e54bf8d69288fbee4904"}}]},"runDetails":{"builder":{"id":"https://ci.example"},"metadata":{"invocationId":"https://ci.example/runs/7"}}}"#,
    r#"{"buildDefinition":{"buildType":"https://cloud.google.com/build/gcb-buildtypes/google-worker/v1","externalParameters":{"buildConfigSource":{"ref":"refs/heads/main","repository":"git+https://git.example/a","path":"cloudbuild.yaml"},"sourceToBuild":{"ref":"refs/tags/v1","repository":"git+https://git.example/b","dir":"app"},"substitutions":{"A":"b"}},"resolvedDependencies":[{"uri":"git+https://git.example/b@refs/tags/v1","digest":{"gitCommit":"4b825dc642cb6eb9a060e54bf8d69288fbee4904","sha1":"4b825dc642cb6eb9a060e54bf8d69288fbee4904"}}]},"runDetails":{"builder":{"id":"https://ci.example"}}}"#,
    r#"{"buildType":"https://github.com/slsa-framework/slsa-github-generator/container@v1","builder":{"id":"https://ci.example"},"invocation":{"configSource":{"digest":{"sha1":"4b825dc642cb6eb9a060e54bf8d69288fbee4904"},"entryPoint":".github/workflows/build.yml","uri":"git+https://git.example/shop/checkout@refs/tags/v1.42.0"},"environment":{"github_event_name":"push"},"parameters":{"event_inputs":{"debug":"true","nested":{"a":[1,null]}}}},"materials":[{"digest":{"sha1":"4b825dc642cb6eb9a060e54bf8d69288fbee4904"},"uri":"git+https://git.example/shop/checkout@refs/tags/v1.42.0"}],"metadata":{"buildInvocationId":"4711-1"}}"#,
];

/// SPDX documents.
pub(crate) const SPDX: &[&str] = &[
    r#"{"spdxVersion":"SPDX-2.3","SPDXID":"SPDXRef-DOCUMENT","packages":[{"name":"a","licenseConcluded":"MIT"},{"name":"b"}]}"#,
    r#"{"spdxVersion":"SPDX-2.2","SPDXID":"SPDXRef-DOCUMENT","packages":[{"SPDXID":"SPDXRef-a","name":"a","versionInfo":"1","licenseConcluded":"NOASSERTION","licenseDeclared":"MIT OR (GPL-3.0-only WITH Classpath-exception-2.0)","externalRefs":[{"referenceType":"purl","referenceLocator":"pkg:npm/a@1"}]}],"relationships":[{"spdxElementId":"SPDXRef-DOCUMENT","relationshipType":"DESCRIBES","relatedSpdxElement":"SPDXRef-a"}]}"#,
];

/// CycloneDX documents.
pub(crate) const CYCLONEDX: &[&str] = &[
    r#"{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{"name":"a","licenses":[{"license":{"id":"MIT"}}],"components":[{"name":"b"}]}]}"#,
    r#"{"bomFormat":"CycloneDX","specVersion":"1.4","components":[{"type":"library","name":"a","licenses":[{"expression":"MIT AND Apache-2.0"},{"license":{"name":"Own"}}],"components":[{"name":"b","components":[{"name":"c","licenses":null}]}]},{"name":"d","components":null}],"dependencies":[{"ref":"a","dependsOn":["b"]}]}"#,
];

/// Reports in their frame, and without.
pub(crate) const SCANS: &[&str] = &[
    r#"{"invocation":{"parameters":null,"uri":"","event_id":"","builder.id":""},"scanner":{"uri":"pkg:github/aquasecurity/trivy@0.69.0","version":"0.69.0","db":{"uri":"","version":"","lastUpdate":"2026-11-24T06:00:00Z"},"result":{"SchemaVersion":2,"ArtifactName":"registry.example/shop/checkout","Results":[{"Target":"checkout (debian 12)","Class":"os-pkgs","Type":"debian","Vulnerabilities":[{"VulnerabilityID":"CVE-2026-1","VendorIDs":["DSA-1"],"PkgName":"openssl","PkgIdentifier":{"PURL":"pkg:deb/debian/openssl@3.0.11?arch=amd64"},"Severity":"HIGH"},{"VulnerabilityID":"CVE-2026-2","PkgName":"zlib","Severity":"CRITICAL"}]},{"Target":"app","Class":"lang-pkgs"}]}},"metadata":{"scanStartedOn":"2026-11-24T08:00:00Z","scanFinishedOn":"2026-11-24T08:01:00Z"}}"#,
    r#"{"invocation":{"parameters":null,"uri":"","event_id":"","builder.id":""},"scanner":{"uri":"pkg:github/aquasecurity/trivy@0.69.0","version":"0.69.0","db":{"uri":"","version":"","lastUpdate":"2026-11-24T06:00:00Z"},"result":{"matches":[{"vulnerability":{"id":"GHSA-xxxx","severity":"Medium"},"relatedVulnerabilities":[{"id":"CVE-2026-3","severity":"High"}],"artifact":{"name":"left-pad","version":"1.0.0","purl":"pkg:npm/left-pad@1.0.0"}}],"descriptor":{"name":"grype","version":"0.100.0","db":{"status":{"built":"2026-11-23T01:00:00Z"}}}}},"metadata":{"scanStartedOn":"2026-11-24T08:00:00Z","scanFinishedOn":"2026-11-24T08:01:00Z"}}"#,
    r#"{"invocation":{"parameters":null,"uri":"","event_id":"","builder.id":""},"scanner":{"uri":"pkg:github/aquasecurity/trivy@0.69.0","version":"0.69.0","db":{"uri":"","version":"","lastUpdate":"2026-11-24T06:00:00Z"},"result":{"version":"2.1.0","$schema":"x","runs":[{"tool":{"driver":{"name":"Trivy","rules":[{"id":"CVE-2026-1","properties":{"security-severity":"9.8"}},{"id":"CVE-2026-2","properties":{"security-severity":5.0}}]}},"results":[{"ruleId":"CVE-2026-1","level":"error"},{"ruleId":"CVE-2026-2","level":"note"}]}]}},"metadata":{"scanStartedOn":"2026-11-24T08:00:00Z","scanFinishedOn":"2026-11-24T08:01:00Z"}}"#,
    r#"{"SchemaVersion":2,"ArtifactName":"registry.example/shop/checkout","Results":[{"Target":"checkout (debian 12)","Class":"os-pkgs","Type":"debian","Vulnerabilities":[{"VulnerabilityID":"CVE-2026-1","VendorIDs":["DSA-1"],"PkgName":"openssl","PkgIdentifier":{"PURL":"pkg:deb/debian/openssl@3.0.11?arch=amd64"},"Severity":"HIGH"},{"VulnerabilityID":"CVE-2026-2","PkgName":"zlib","Severity":"CRITICAL"}]},{"Target":"app","Class":"lang-pkgs"}]}"#,
    r#"{"matches":[{"vulnerability":{"id":"GHSA-xxxx","severity":"Medium"},"relatedVulnerabilities":[{"id":"CVE-2026-3","severity":"High"}],"artifact":{"name":"left-pad","version":"1.0.0","purl":"pkg:npm/left-pad@1.0.0"}}],"descriptor":{"name":"grype","version":"0.100.0","db":{"status":{"built":"2026-11-23T01:00:00Z"}}}}"#,
    r#"{"version":"2.1.0","$schema":"x","runs":[{"tool":{"driver":{"name":"Trivy","rules":[{"id":"CVE-2026-1","properties":{"security-severity":"9.8"}},{"id":"CVE-2026-2","properties":{"security-severity":5.0}}]}},"results":[{"ruleId":"CVE-2026-1","level":"error"},{"ruleId":"CVE-2026-2","level":"note"}]}]}"#,
];

/// OpenVEX documents.
pub(crate) const VEX: &[&str] = &[
    r#"{"@context":"https://openvex.dev/ns/v0.2.0","@id":"https://vex.example/1","author":"Security Team","timestamp":"2026-11-01T00:00:00Z","version":1,"statements":[{"vulnerability":{"@id":"https://nvd.example/CVE-2026-1","name":"CVE-2026-1","aliases":["GHSA-1"]},"products":[{"@id":"pkg:oci/checkout@sha256%3Aabc","identifiers":{"purl":"pkg:oci/checkout"},"hashes":{"sha-256":"abc"},"subcomponents":[{"@id":"pkg:deb/debian/openssl@3"}]}],"status":"not_affected","justification":"vulnerable_code_not_present","timestamp":"2026-11-02T00:00:00Z"},{"vulnerability":{"name":"CVE-2026-2"},"status":"affected","action_statement":"update","last_updated":"2026-11-03T00:00:00Z"}]}"#,
    r#"{"@context":"https://openvex.dev/ns/v0.2.0","@id":"https://vex.example/1","author":"Security Team","timestamp":"2026-11-01T00:00:00Z","version":1,"statements":[{"vulnerability":{"@id":"https://nvd.example/CVE-2026-1","name":"CVE-2026-1","aliases":["GHSA-1"]},"products":[{"@id":"pkg:oci/checkout@sha256%3Aabc","identifiers":{"purl":"pkg:oci/checkout"},"hashes":{"sha-256":"abc"},"subcomponents":[{"@id":"pkg:deb/debian/openssl@3"}]}],"status":"not_affected","justification":"vulnerable_code_not_present","timestamp":"2026-11-02T00:00:00Z"},{"vulnerability":{"name":"CVE-2026-2"},"status":"affected","action_statement":"update","products":[{"@id":"pkg:oci/checkout@sha256%3Aabc"},{"@id":"registry.example/shop/checkout"}]}],"last_updated":"2026-11-05T00:00:00Z"}"#,
];

/// Verification summaries and test results.
pub(crate) const VERDICTS: &[&str] = &[
    r#"{"verifier":{"id":"https://verifier.example","version":{"x":"1"}},"timeVerified":"2026-11-24T08:00:00Z","resourceUri":"registry.example/shop/checkout","policy":{"uri":"https://policy.example/1","digest":{"sha256":"ab"}},"inputAttestations":[{"uri":"x","digest":{"sha256":"cd"}}],"verificationResult":"PASSED","verifiedLevels":["SLSA_BUILD_LEVEL_3"],"slsaVersion":"1.2"}"#,
    r#"{"result":"FAILED","configuration":[{"name":"unit.yml","digest":{"sha256":"ab"}}],"url":"https://ci.example/runs/7","passedTests":["a","b"],"warnedTests":[],"failedTests":["c"]}"#,
];

/// Our own predicates.
pub(crate) const PIPELINE: &[&str] = &[
    r#"{"commit":"4b825dc642cb6eb9a060e54bf8d69288fbee4904","branch":"main","authors":["alice@corp"],"mergedBy":"bob@corp","reviewers":["bob@corp"],"pullRequests":["https://git.example/pr/7"],"baseTag":"v1.41.0","risk":"low","security":false,"cherryPickOf":["4b825dc642cb6eb9a060e54bf8d69288fbee4904"]}"#,
    r#"{"commit":"4b825dc642cb6eb9a060e54bf8d69288fbee4904","finishedOn":"2026-11-24T08:12:30Z","checks":[{"conclusion":"success","name":"unit-test","url":"https://ci.example/shop/runs/4711"},{"conclusion":"timed_out","name":"integration-test","quarantined":[{"approver":"alice@corp","rationale":"times out on busy runners","test":"checkout under load","ticket":"https://tickets.example/SHOP-77","until":"2026-12-08T00:00:00Z"}]}],"measurements":{"coverage":81.5}}"#,
    r#"{"product":"checkout","version":"1.42.0","tag":"v1.42.0","commit":"4b825dc642cb6eb9a060e54bf8d69288fbee4904","digests":["sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"]}"#,
    r#"{"what":"dast","rationale":"a batch job","by":"alice@corp"}"#,
];

/// A deny-list in one line, then a licence.
pub(crate) const LICENSES: &[&str] = &[
    "GPL-3.0-only,AGPL-*,NOASSERTION\n(MIT OR GPL-3.0-only) AND Apache-2.0 WITH LLVM-exception",
    "Secret License\nMIT, Secret License",
    "*\n((MIT",
];

/// Two package URLs, or a package URL and a name.
pub(crate) const PACKAGES: &[&str] = &[
    "pkg:deb/debian/openssl@3.0.11-1~deb12u2?arch=amd64&distro=debian-12\npkg:deb/debian/openssl@3.0.11-1%7Edeb12u2?arch=amd64&distro=debian-12",
    "pkg:npm/%40angular/core@1.0.0#sub/path\npkg:npm/@angular/core@1.0.0",
    "pkg:oci/checkout?repository_url=registry.example/shop/checkout\nregistry.example/shop/checkout",
];

/// Policies with every part.
pub(crate) const POLICIES: &[&str] = &[
    r#"{"match":{"tiers":["Production"],"namespaceSelector":{"matchLabels":{"a":"b"}}},"sources":[{"namespaces":["shop"],"product":"checkout","repositories":["https://git.example/a"],"imageRepositories":["registry.example/shop/*"]}],"authorities":[{"name":"ci","trustedRoot":"public-good","keyless":{"issuer":"https://token.example","subjectPattern":"https://git.example/shop/*@refs/tags/v*"},"predicateTypes":["https://sigstore.dev/cosign/sign/v1"]},{"name":"key","keys":[{"pem":"-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEL5wFgwswcKITS11b2PP/eCtr2ObJ\nrkoTMF2v1O7RCw+jkuKH6VBXDgJoY/8+VGxr9itR0MvCKzCO8b1AtoiDqQ==\n-----END PUBLIC KEY-----\n","validUntil":"2026-11-01T00:00:00Z"}],"predicateTypes":["https://slsa.dev/provenance/v1"]}],"evidence":{"signatures":{"authorities":["ci"],"threshold":1},"provenance":[{"authority":"key","builders":["https://ci.example"],"buildTypes":["https://actions.github.io/buildtypes/workflow/v1"]}]},"approvals":[{"role":"release-manager","min":1}],"windows":["Always"]}"#,
    r#"{"match":{"tiers":["Production"]},"sources":[{"namespaces":["shop"],"repositories":["https://git.example/shop/checkout"],"imageRepositories":["registry.example/shop/*"]}],"authorities":[{"name":"ci","trustedRoot":"public-good","keyless":{"issuer":"https://token.example","subject":"https://git.example/shop/a@refs/tags/v1"},"predicateTypes":["https://sigstore.dev/cosign/sign/v1","https://spdx.dev/Document","https://lockmaster.dev/checks/v1","https://slsa.dev/verification_summary/v1"],"legacy":"Refuse"}],"evidence":{"sbom":{"authorities":["ci"],"formats":["SPDX"],"minComponents":2,"deniedLicenses":["AGPL-*"]},"vulnerabilities":{"authorities":["ci"],"maxAge":"24h","deny":["Critical","High"],"databaseTime":"WhenStated","vex":{"authorities":["ci"],"maxAge":"90d"}},"attestations":[{"name":"checks","predicateType":"https://lockmaster.dev/checks/v1","authorities":["ci"],"maxAge":"30d","checks":{"required":["unit"],"security":["sast"]},"notApplicable":{"authorities":["ci"]}},{"name":"vsa","predicateType":"https://slsa.dev/verification_summary/v1","authorities":["ci"],"summary":{"verifiers":[{"authority":"ci","id":"https://verifier.example"}],"levels":["SLSA_BUILD_LEVEL_2"]}}],"release":{"authorities":["ci"]},"indexEvidence":"Accept"},"rules":[{"name":"two-builds","rego":"package lockmaster\nimport rego.v1\nallow if input.action == \"Promote\"\n"}],"approvals":[{"role":"release-manager","min":1,"actions":["Promote"]}],"windows":["Always"]}"#,
];
