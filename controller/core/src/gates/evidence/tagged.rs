//! Whether a statement of the release job is about this release: name, version and digest of it are
//! all compared (GHSA-r2xv-vpr2-42m9).

use super::Question;
use crate::evidence::TaggedRelease;
use crate::release::clip;

impl Question<'_> {
    /// Why the statement is not about the Release, all of its digests included.
    pub(in crate::gates) fn is_tagged(&self, statement: &TaggedRelease) -> Result<(), String> {
        let TaggedRelease {
            product,
            version,
            tag,
            commit,
            digests,
        } = statement;
        let Some(release) = self.case.release else {
            return Err("there is no Release to compare it with".to_owned());
        };
        let Some(source) = &release.source else {
            return Err(format!(
                "Release {} has no spec.source to compare it with",
                release.name
            ));
        };
        let own = [
            ("product", release.product.clone()),
            ("version", release.version.to_string()),
            ("tag", release.tag()),
            ("commit", source.commit.clone()),
        ];
        let product = product.as_ref().unwrap_or(&release.product).clone();
        let stated = [product, version.to_string(), tag.clone(), commit.clone()];
        for ((what, wanted), found) in own.into_iter().zip(stated) {
            if wanted != found {
                let found = clip(&found);
                return Err(format!("it names {what} {found}, the Release {wanted}"));
            }
        }
        let mut components = release.components.iter().map(|component| &component.image);
        match components.find(|image| !digests.contains(image.digest())) {
            None => Ok(()),
            Some(image) => Err(format!("it does not list {}", image.digest())),
        }
    }
}
