//! The command line. A flag stands only where it does something.

mod parse;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use lockmaster_core::environment::Span;
use lockmaster_core::release::{ImageReference, Version};

use self::parse::{account, image, name, registry, role, span, target, version, window};

/// Promote signed images from one environment to the next.
///
/// Everything is done with your own rights in the cluster; decisions are checked there.
/// Exit codes: 0 done, 1 usage or internal, 2 a gate failed, 3 waiting, 4 rejected, aborted or
/// superseded, 5 unhealthy or rolled back, 6 not permitted, 7 evidence invalid, 124 timeout.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-promote",
    bin_name = "kubectl promote",
    version,
    max_term_width = 100
)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print starter manifests for a product: kubectl promote init … | kubectl apply -f -
    Init(Box<Init>),
    /// Ask for a promotion of a Release into an Environment
    Create(Create),
    /// Tell how a Promotion stands, why, and who can do what about it
    Explain(Explain),
    /// Show what runs where, and what is on its way
    Status(Status),
    /// Approve the plan of one or more Promotions
    Approve(Decide),
    /// Reject the plan of one or more Promotions
    Reject(Decide),
    /// End a Promotion; during its roll-out, what is known to be good is brought back
    Abort(Abort),
    /// Judge an image by a policy file, without a cluster
    Verify(Verify),
}

impl Command {
    /// How long it may take.
    pub(crate) fn timeout(&self) -> Option<Span> {
        match self {
            Self::Init(_) => None,
            Self::Create(create) => create.connection.timeout,
            Self::Explain(explain) => explain.connection.timeout,
            Self::Status(status) => status.connection.timeout,
            Self::Approve(decide) | Self::Reject(decide) => decide.connection.timeout,
            Self::Abort(abort) => abort.connection.timeout,
            Self::Verify(verify) => verify.timeout,
        }
    }
}

/// Which cluster, and for how long.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Connection {
    /// Namespace of the product's Environments [default: that of the kubeconfig context]
    #[arg(short, long, value_parser = name)]
    pub(crate) namespace: Option<String>,
    /// Context of the kubeconfig file [default: the current one]
    #[arg(long)]
    pub(crate) context: Option<String>,
    /// Kubeconfig file [default: $KUBECONFIG, then ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Give up after this long, such as 30s or 10m, with exit code 124
    #[arg(long, value_name = "DURATION", value_parser = span)]
    pub(crate) timeout: Option<Span>,
}

/// How text is shown.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Display {
    /// Colour the marks; automatic is on a terminal, without NO_COLOR
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) color: ColorChoice,
    /// Only ASCII in marks and trees
    #[arg(long)]
    pub(crate) ascii: bool,
}

/// When to colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What is written instead of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// What `create` writes about the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ObjectFormat {
    /// The object as JSON.
    Json,
    /// The object as YAML.
    Yaml,
    /// Resource and name.
    Name,
}

/// Who is asked before something is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum DryRun {
    /// Send it.
    #[default]
    None,
    /// Only print what would be sent.
    Client,
}

/// Arguments of `create`.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Name of the Release
    #[arg(value_parser = name)]
    pub(crate) release: String,
    /// Stage of the Release's product, or name of an Environment
    #[arg(long, value_name = "STAGE")]
    pub(crate) to: String,
    /// Name of the Promotion [default: RELEASE-STAGE; for a rollback
    /// RELEASE-STAGE-rollback-INCIDENT]
    #[arg(long, value_parser = name)]
    pub(crate) name: Option<String>,
    /// Go back to this Release, which ran there with success before
    #[arg(long, requires_all = ["reason", "incident"])]
    pub(crate) rollback: bool,
    /// Why
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// The incident that this answers to
    #[arg(long, value_name = "ID")]
    pub(crate) incident: Option<String>,
    /// Narrow the change windows: "Tue-Thu 10:00-12:00 Europe/Berlin"
    #[arg(long, value_parser = window)]
    pub(crate) window: Option<String>,
    /// Print the object instead of creating it
    #[arg(long, value_enum, default_value_t, num_args = 0..=1, default_missing_value = "client")]
    pub(crate) dry_run: DryRun,
    /// Write the object this way
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    pub(crate) output: Option<ObjectFormat>,
    /// Wait until it is over, or until somebody must mend something
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) wait: bool,
    /// Which cluster.
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// Name of the Promotion
    #[arg(required_unless_present = "file")]
    pub(crate) promotion: Option<String>,
    /// Replay a snapshot instead of asking a cluster; - for stdin
    #[arg(short, long, value_name = "SNAPSHOT", conflicts_with_all = ["namespace", "context", "kubeconfig", "timeout"])]
    pub(crate) file: Option<PathBuf>,
    /// Write this instead of text
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    pub(crate) output: Option<Format>,
    /// How text is shown.
    #[command(flatten)]
    pub(crate) display: Display,
    /// Which cluster.
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Only this product
    pub(crate) product: Option<String>,
    /// Write this instead of text
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    pub(crate) output: Option<Format>,
    /// How text is shown.
    #[command(flatten)]
    pub(crate) display: Display,
    /// Which cluster.
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// Arguments of `approve` and `reject`.
#[derive(Debug, Args)]
pub(crate) struct Decide {
    /// Names of the Promotions
    #[arg(required = true, value_name = "PROMOTION")]
    pub(crate) promotions: Vec<String>,
    /// The role you decide in
    #[arg(long, value_parser = role)]
    pub(crate) role: String,
    /// References, such as a ticket
    #[arg(long = "ref", value_name = "REFERENCES", default_value = "")]
    pub(crate) reference: String,
    /// Why
    #[arg(long)]
    pub(crate) reason: String,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// How text is shown.
    #[command(flatten)]
    pub(crate) display: Display,
    /// Which cluster.
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// Arguments of `abort`.
#[derive(Debug, Args)]
pub(crate) struct Abort {
    /// Name of the Promotion
    pub(crate) promotion: String,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Which cluster.
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The image by digest: registry/repository@sha256:…
    #[arg(value_parser = image, value_name = "IMAGE@DIGEST")]
    pub(crate) image: ImageReference,
    /// File with one or more ClusterPromotionPolicies
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: PathBuf,
    /// File with the TrustedRoot that the policy names, as a manifest or as the JSON itself;
    /// repeatable. JSON counts for every TrustedRoot that the policy names
    #[arg(long, value_name = "FILE")]
    pub(crate) trusted_root: Vec<PathBuf>,
    /// Namespace whose `sources` count [default: the only one that the policy names]
    #[arg(short, long, value_parser = name)]
    pub(crate) namespace: Option<String>,
    /// Release manifest to compare provenance with
    #[arg(long, value_name = "FILE", conflicts_with_all = ["product", "repository", "commit", "release_version"])]
    pub(crate) release: Option<PathBuf>,
    /// Product [default: the last part of the repository]
    #[arg(long)]
    pub(crate) product: Option<String>,
    /// Source repository that provenance must name
    #[arg(long, value_name = "URL", requires_all = ["commit", "release_version"])]
    pub(crate) repository: Option<String>,
    /// Commit that provenance must name
    #[arg(long, requires = "repository")]
    pub(crate) commit: Option<String>,
    /// Version whose tag provenance must name, such as 1.42.0
    #[arg(long = "version", id = "release_version", value_name = "VERSION", value_parser = version, requires = "repository")]
    pub(crate) version: Option<Version>,
    /// Registry to reach by plain HTTP, also on a private address; repeatable
    #[arg(long, value_name = "HOST:PORT", value_parser = registry)]
    pub(crate) plain_http_registry: Vec<String>,
    /// File with logins for private registries, as docker login writes it [default:
    /// $DOCKER_CONFIG/config.json, $REGISTRY_AUTH_FILE, then ~/.docker/config.json]
    #[arg(long, value_name = "FILE")]
    pub(crate) registry_config: Option<PathBuf>,
    /// Read the image and what is attached to it from this OCI image layout, and nothing from a
    /// network
    #[arg(long, value_name = "DIR", conflicts_with_all = ["plain_http_registry", "registry_config"])]
    pub(crate) oci_layout: Option<PathBuf>,
    /// Write this instead of text
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    pub(crate) output: Option<Format>,
    /// Give up after this long, such as 30s, with exit code 124
    #[arg(long, value_name = "DURATION", value_parser = span)]
    pub(crate) timeout: Option<Span>,
    /// How text is shown.
    #[command(flatten)]
    pub(crate) display: Display,
}

/// Arguments of `init`.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Name of the product
    #[arg(long, value_parser = name)]
    pub(crate) product: String,
    /// Namespace of the Environments, Releases and Promotions
    #[arg(short, long, value_parser = name)]
    pub(crate) namespace: String,
    /// Where a stage runs: STAGE=NAMESPACE/DEPLOYMENT; repeatable, in the order of promotion.
    /// Stages: dev, test, staging, prod
    #[arg(long, required = true, value_name = "STAGE=NAMESPACE/DEPLOYMENT", value_parser = target)]
    pub(crate) target: Vec<InitTarget>,
    /// Container whose image is set [default: the only one]
    #[arg(long, value_name = "CONTAINER", value_parser = name)]
    pub(crate) image_container: Option<String>,
    /// Group that may ask for promotions
    #[arg(long, value_name = "GROUP")]
    pub(crate) requester_group: Option<String>,
    /// Group that approves for production
    #[arg(long, value_name = "GROUP")]
    pub(crate) approver_group: Option<String>,
    /// Public key (PEM) that signs the images: adds starter policies
    #[arg(long, value_name = "FILE", requires_all = ["image_repository", "source"])]
    pub(crate) key: Option<PathBuf>,
    /// Image repository, registry/path; a last part * stands for any; repeatable
    #[arg(long, value_name = "REPOSITORY", requires = "key")]
    pub(crate) image_repository: Vec<String>,
    /// Source repository as provenance names it; repeatable
    #[arg(long, value_name = "URL", requires = "key")]
    pub(crate) source: Vec<String>,
    /// Builder id that provenance must name: adds a provenance rule; repeatable
    #[arg(long, value_name = "ID", requires = "key")]
    pub(crate) builder: Vec<String>,
    /// Time zone of a starter ChangeWindow for production, Mon-Thu 09:00-16:00; without it
    /// production is open at any time
    #[arg(long, value_name = "ZONE", requires = "key")]
    pub(crate) zone: Option<String>,
    /// Secret of the namespace with which evidence is read from a private registry; repeatable, 4
    /// at most
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub(crate) pull_secret: Vec<String>,
    /// The operator's ServiceAccount, NAMESPACE/NAME
    #[arg(long, value_name = "NAMESPACE/NAME", default_value = "lockmaster-system/lockmaster", value_parser = account)]
    pub(crate) operator: NamespacedName,
}

/// Where a stage runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InitTarget {
    /// The stage.
    pub(crate) stage: String,
    /// The Deployment.
    pub(crate) deployment: NamespacedName,
}

/// A namespace and a name in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamespacedName {
    /// The namespace.
    pub(crate) namespace: String,
    /// The name.
    pub(crate) name: String,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        let words = std::iter::once("kubectl-promote").chain(line.split_whitespace());
        Arguments::try_parse_from(words).map(|arguments| arguments.command)
    }

    #[track_caller]
    fn refused(line: &str, expect: &str) {
        let text = parse(line).unwrap_err().to_string();
        assert!(text.contains(expect), "{line}: {text}");
    }

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_flag_is_documented_with_its_command() {
        let documentation = include_str!("../../../docs/reference/cli.md");
        let (shared, _) = documentation.split_once("\n## init\n").unwrap();
        for command in Arguments::command().get_subcommands() {
            let heading = format!("\n## {}\n", command.get_name());
            let (_, section) = documentation.split_once(&heading).expect(&heading);
            let section = section.split("\n## ").next().unwrap();
            for flag in command.get_arguments().filter_map(|a| a.get_long()) {
                let known = [section, shared]
                    .iter()
                    .any(|text| text.contains(&format!("--{flag}")));
                assert!(known, "{} --{flag}", command.get_name());
            }
        }
    }

    #[test]
    fn help_is_written_as_it_is_typed() {
        let text = Arguments::command().render_long_help().to_string();
        assert!(text.contains("Usage: kubectl promote <COMMAND>"), "{text}");
    }

    #[test]
    fn a_rollback_says_why_and_for_which_incident() {
        refused("create checkout-1.41.3 --to prod --rollback", "--incident");
        let line = "create checkout-1.41.3 --to prod --rollback --reason slow --incident INC-1";
        assert!(matches!(parse(line), Ok(Command::Create(create)) if create.rollback));
    }

    #[test]
    fn an_unreadable_window_is_refused_before_anything_is_sent() {
        let words = ["kubectl-promote", "create", "r", "--to", "prod", "--window"];
        let check = |window: &str| {
            let words = words.iter().copied().chain([window]);
            Arguments::try_parse_from(words)
        };
        assert!(check("Tue-Thu 10:00-12:00 Europe/Berlin").is_ok());
        let text = check("Tuesday morning").unwrap_err().to_string();
        assert!(text.contains("days from-to zone"), "{text}");
    }

    #[test]
    fn dry_run_is_client_side() {
        let dry_run = |line: &str| {
            let Ok(Command::Create(create)) = parse(line) else {
                panic!("{line}");
            };
            create.dry_run
        };
        assert_eq!(dry_run("create r --to prod"), DryRun::None);
        assert_eq!(dry_run("create r --to prod --dry-run"), DryRun::Client);
        assert_eq!(
            dry_run("create r --to prod --dry-run=client"),
            DryRun::Client
        );
        refused("create r --to prod --dry-run=server", "client");
        refused("create r --to prod --dry-run=client --wait", "--wait");
    }

    #[test]
    fn nobody_can_be_impersonated() {
        refused("approve p --role qa --reason go --as alice", "--as");
        refused(
            "approve p --role Release.Manager --reason go",
            "expected a role",
        );
        refused("approve --role qa --reason go", "<PROMOTION>");
    }

    #[test]
    fn a_snapshot_needs_no_cluster_and_no_name() {
        assert!(parse("explain -f snapshot.yaml").is_ok());
        refused("explain", "<PROMOTION>");
        refused("explain -f snapshot.yaml --context prod", "--context");
    }

    #[test]
    fn verify_wants_a_digest_and_all_of_the_source() {
        let digest = "0".repeat(64);
        let line = format!("verify registry.example/shop/checkout@sha256:{digest} --policy p.yaml");
        assert!(parse(&line).is_ok());
        refused(
            "verify registry.example/shop/checkout:1.0 --policy p.yaml",
            "without a tag",
        );
        refused(&format!("{line} --commit abc"), "--repository");
        let registry = format!("{line} --plain-http-registry");
        assert!(parse(&format!("{registry} 127.0.0.1:5000")).is_ok());
        for wrong in [
            "Registry:5000",
            "registry",
            "http://127.0.0.1:5000",
            "127.0.0.1:5000/shop",
        ] {
            refused(&format!("{registry} {wrong}"), "host:port in lower case");
        }
        refused(
            &format!("{line} --release r.yaml --version 1.0.0"),
            "--version",
        );
        let layout = format!("{line} --oci-layout copy");
        assert!(parse(&layout).is_ok());
        refused(
            &format!("{layout} --registry-config c"),
            "--registry-config",
        );
    }

    #[test]
    fn targets_are_stage_and_deployment() {
        let line = "init --product checkout -n shop --target dev=shop-dev/checkout";
        assert!(parse(line).is_ok());
        refused(
            "init --product checkout -n shop --target dev=checkout",
            "NAMESPACE/NAME",
        );
        refused(&format!("{line} --key release.pub"), "--image-repository");
    }
}
