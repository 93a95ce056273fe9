//! Values as people write them, and whether the product takes them. The parsers and the schemas are
//! asked here, and the API server in the end-to-end tests: what one takes and the other refuses
//! would be an object that is stored and that nobody can read.

/// One field, and what may stand in it.
pub(crate) struct Field {
    /// Kind of the object.
    pub(crate) kind: &'static str,
    /// Where the field is, below the object.
    pub(crate) pointer: &'static str,
    /// What is taken.
    pub(crate) right: &'static [&'static str],
    /// What is refused.
    pub(crate) wrong: &'static [&'static str],
}

/// A digest, to be put behind images with an at sign.
pub(crate) const DIGEST: &str =
    "sha256:9f2c41d07a119f2c41d07a119f2c41d07a119f2c41d07a119f2c41d07a11abcd";

/// All of them. In images `@` stands for an at sign and [`DIGEST`].
pub(crate) const FIELDS: [Field; 5] = [
    Field {
        kind: "Environment",
        pointer: "/spec/health/deadline",
        right: &[
            "1s",
            "90s",
            "10m",
            "1h30m",
            "1h30m5s",
            "1h5s",
            "168h",
            "10080m",
            "604800s",
            "0h1m0s",
            "0000000000001s",
        ],
        wrong: &[
            "",
            "0s",
            "0h0m0s",
            "999h",
            "168h1s",
            "604801s",
            "10",
            "h",
            "1.5h",
            "1000ms",
            "7d",
            "-5m",
            "+5m",
            "30m1h",
            "1h1h",
            "PT10M",
            "1h 30m",
            " 10m",
            "10m\n",
            "99999999999999h",
            "00000000000000001s",
        ],
    },
    Field {
        kind: "Release",
        pointer: "/spec/version",
        right: &[
            "1.42.0",
            "0.0.0",
            "1.0.0-rc.1",
            "1.0.0-0",
            "1.0.0-0a",
            "1.0.0-a.b-c.7",
            "1.0.0--",
            "9999999999999999999.0.0",
            "1.0.0-99999999999999999999999",
        ],
        wrong: &[
            "",
            "1",
            "1.2",
            "v1.2.3",
            "1.2.3.4",
            "01.2.3",
            "1.02.3",
            "1.0.0-01",
            "1.0.0-a.01",
            "1.0.0-",
            "1.0.0-a..b",
            "1.0.0+build",
            "1.0.0-rc_1",
            " 1.0.0",
            "1.0.0\n",
            "latest",
            "18446744073709551615.0.0",
            "18446744073709551616.0.0",
            "99999999999999999999.0.0",
            "1.0.0-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ],
    },
    Field {
        kind: "Release",
        pointer: "/spec/components/0/image",
        right: &[
            "registry.example/shop/checkout@",
            "localhost/a@",
            "localhost:5000/a@",
            "registry:80/a@",
            "127.0.0.1:65535/a/b__c-d.e@",
            "a.b/c@",
            "registry.example:1/a--b@",
        ],
        wrong: &[
            "",
            "@",
            "checkout@",
            "shop/checkout@",
            "registry.example@",
            "registry.example/@",
            "registry.example/a",
            "registry.example/a:1@",
            "Registry.example/a@",
            "registry.example/A@",
            "registry.example:0/a@",
            "registry.example:65536/a@",
            "registry.example:99999/a@",
            "registry.example:080/a@",
            "registry.example:+80/a@",
            "registry.example:/a@",
            "-registry.example/a@",
            "registry.example./a@",
            "user@registry.example/a@",
            "https://registry.example/a@",
            "registry.example//a@",
            "registry.example/a___b@",
            "registry.example/-a@",
            "[::1]:5000/a@",
            "registry.example/a@ ",
        ],
    },
    Field {
        kind: "Revocation",
        pointer: "/spec/digests/0",
        right: &[DIGEST],
        wrong: &[
            "",
            "9f2c41d07a119f2c41d07a119f2c41d07a119f2c41d07a119f2c41d07a11abcd",
            "sha256:",
            "sha256:9f2c41d07a119f2c41d07a119f2c41d07a119f2c41d07a119f2c41d07a11abc",
            "sha256:9f2c41d07a119f2c41d07a119f2c41d07a119f2c41d07a119f2c41d07a11abcd0",
            "sha512:9f2c41d07a119f2c41d07a119f2c41d07a119f2c41d07a119f2c41d07a11abcd",
            "sha256:9F2C41D07A119F2C41D07A119F2C41D07A119F2C41D07A119F2C41D07A11ABCD",
            " sha256:9f2c41d07a119f2c41d07a119f2c41d07a119f2c41d07a119f2c41d07a11abcd",
            "registry.example/shop/checkout@",
        ],
    },
    Field {
        kind: "Revocation",
        pointer: "/spec/signers/0/key",
        right: &["9f2c41d07a119f2c41d07a119f2c41d07a119f2c41d07a119f2c41d07a11abcd"],
        wrong: &[
            "",
            DIGEST,
            "9f2c41d07a119f2c41d07a119f2c41d07a119f2c41d07a119f2c41d07a11abc",
            "9f2c41d07a119f2c41d07a119f2c41d07a119f2c41d07a119f2c41d07a11abcd0",
            "9F2C41D07A119F2C41D07A119F2C41D07A119F2C41D07A119F2C41D07A11ABCD",
            "release@corp.example",
        ],
    },
];

impl Field {
    /// Every value as it is written, and whether it is taken.
    pub(crate) fn cases(&self) -> impl Iterator<Item = (String, bool)> {
        let written = |text: &&str| match text.strip_suffix('@') {
            Some(repository) => format!("{repository}@{DIGEST}"),
            None => text.replace("@ ", &format!("@{DIGEST} ")),
        };
        let right = self.right.iter().map(move |text| (written(text), true));
        right.chain(self.wrong.iter().map(move |text| (written(text), false)))
    }
}
