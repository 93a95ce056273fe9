//! The list of registries that the operator is started with.

use std::path::Path;

use anyhow::Context as _;
use lockmaster_observe::registry::{RegistriesFile, Registry};

/// Reads the list; there is none without a file. What is not understood is refused: a field that is
/// misspelt would otherwise open what it was written to close.
pub(crate) fn read(path: Option<&Path>) -> anyhow::Result<Vec<Registry>> {
    let Some(path) = path else {
        return Ok(Vec::new());
    };
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("failed to read --registries {shown}"))?;
    parse(&text).with_context(|| format!("--registries {shown} cannot be used"))
}

fn parse(text: &str) -> anyhow::Result<Vec<Registry>> {
    // An empty file lists nothing.
    if text
        .lines()
        .all(|line| line.trim().is_empty() || line.starts_with('#'))
    {
        return Ok(Vec::new());
    }
    let file: RegistriesFile = serde_saphyr::from_str(text)
        .map_err(|error| anyhow::anyhow!("{}", error.without_snippet()))?;
    Ok(file.registries)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERYTHING: &str = r"
registries:
- host: registry.example:5000
  plainHTTP: true
  privateAddresses: true
  realms: ['https://auth.example']
  credentials: /etc/lockmaster/login.json
  mirrors:
  - host: mirror.example
    certificateAuthorities: |
      -----BEGIN CERTIFICATE-----
    credentials: /etc/lockmaster/mirror.json
  limits: {imagesAtATime: 4, requestsPerSecond: 50, sbomMebibytes: 48}
";

    #[test]
    fn every_field_is_read_and_what_is_left_out_has_its_default() {
        let all = parse(EVERYTHING).unwrap();
        let [registry] = all.as_slice() else {
            panic!("{all:?}")
        };
        assert!(registry.plain_http && registry.private_addresses);
        assert_eq!(registry.realms, ["https://auth.example"]);
        assert_eq!(registry.limits.images_at_a_time, 4);
        assert_eq!(registry.limits.burst, 2000);
        assert_eq!(registry.limits.sbom_mebibytes, 48);
        let mirror = &registry.mirrors[0];
        assert!(!mirror.plain_http && mirror.credentials.is_some());
        assert!(parse("").unwrap().is_empty());
        assert!(parse("# nothing\n\n").unwrap().is_empty());
        assert!(parse("registries: []").unwrap().is_empty());
        assert!(read(None).unwrap().is_empty());
    }

    #[test]
    fn what_is_unknown_twice_or_of_another_type_is_refused_by_its_name() {
        for (text, words) in [
            ("registry: []", "registry"),
            (
                "registries:\n- host: a.example\n  plainHttp: true",
                "plainHttp",
            ),
            (
                "registries:\n- host: a.example\n  insecureSkipVerify: true",
                "insecureSkipVerify",
            ),
            ("registries:\n- plainHTTP: true", "host"),
            ("registries:\n- host: a.example\n  host: b.example", "host"),
            (
                "registries:\n- host: a.example\n  limits: {burst: -1}",
                "line 3",
            ),
            (
                "registries:\n- host: a.example\n  mirrors:\n  - mirror.example",
                "line 4",
            ),
            (
                "registries:\n- host: a.example\n  limits: {sbomMebibytes: 300}",
                "line 3",
            ),
            ("registries: none", "line 1"),
        ] {
            let error = format!("{:#}", parse(text).unwrap_err());
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = read(Some(Path::new("/nowhere/registries.yaml"))).unwrap_err();
        let text = format!("{error:#}");
        assert!(
            text.contains("--registries /nowhere/registries.yaml"),
            "{text}"
        );
    }
}
