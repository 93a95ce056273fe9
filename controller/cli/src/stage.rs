//! From what people call a place to the Environment that is meant.

use kube::ResourceExt as _;
use lockmaster_api::Environment;

/// What people call an Environment.
pub(crate) fn stage_of(environment: &Environment) -> String {
    let stage = environment.spec.stage.clone();
    stage.unwrap_or_else(|| environment.name_any())
}

/// The Environment of `product` that `wanted` names by stage or, where no stage is called so, by
/// its own name.
pub(crate) fn resolve<'a>(
    environments: &'a [Environment],
    product: &str,
    wanted: &str,
) -> Result<&'a Environment, String> {
    let ours: Vec<_> = environments
        .iter()
        .filter(|environment| environment.spec.product == product)
        .collect();
    let staged: Vec<_> = ours
        .iter()
        .copied()
        .filter(|environment| stage_of(environment) == wanted)
        .collect();
    match staged.as_slice() {
        [only] => return Ok(only),
        [] => {}
        several => {
            let names: Vec<_> = several.iter().map(|e| e.name_any()).collect();
            return Err(format!(
                "stage {wanted} of product {product} is not unique; name the Environment: --to {}",
                names.join(" or --to ")
            ));
        }
    }
    let mut named = environments.iter().filter(|e| e.name_any() == wanted);
    match named.next() {
        Some(environment) if environment.spec.product == product => Ok(environment),
        Some(environment) => Err(format!(
            "Environment {wanted} is of product {}, the Release of {product}",
            environment.spec.product
        )),
        None if ours.is_empty() => Err(format!(
            "product {product} has no Environment in this namespace; see: kubectl promote init \
             --help"
        )),
        None => {
            let known: Vec<_> = ours.iter().map(|e| stage_of(e)).collect();
            Err(format!(
                "product {product} has no stage {wanted}; it has {}",
                known.join(", ")
            ))
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn environment(name: &str, product: &str, stage: Option<&str>) -> Environment {
        let value = serde_json::json!({
            "apiVersion": "lockmaster.dev/v1alpha1",
            "kind": "Environment",
            "metadata": {"name": name, "namespace": "shop", "uid": format!("{name}-uid")},
            "spec": {
                "product": product,
                "stage": stage,
                "tier": "Development",
                "targets": [{"workload": {
                    "apiVersion": "apps/v1", "kind": "Deployment", "name": product,
                    "namespace": format!("{product}-run"),
                }}],
            },
        });
        serde_json::from_value(value).unwrap()
    }

    #[track_caller]
    fn check(wanted: &str, expect: Result<&str, &str>) {
        let environments = [
            environment("checkout-dev", "checkout", Some("dev")),
            environment("checkout-prod", "checkout", Some("prod")),
            environment("checkout-eu", "checkout", Some("canary")),
            environment("checkout-us", "checkout", Some("canary")),
            environment("dev", "search", None),
            environment("prod-search", "search", Some("prod")),
        ];
        match (resolve(&environments, "checkout", wanted), expect) {
            (Ok(found), Ok(name)) => assert_eq!(found.name_any(), name),
            (Err(text), Err(part)) => assert!(text.contains(part), "{text}"),
            (found, expect) => panic!("{found:?} instead of {expect:?}"),
        }
    }

    #[test]
    fn a_stage_is_found_within_its_product() {
        check("dev", Ok("checkout-dev"));
        check("prod", Ok("checkout-prod"));
    }

    #[test]
    fn a_name_is_found_as_well() {
        check("checkout-eu", Ok("checkout-eu"));
        check("prod-search", Err("is of product search"));
    }

    #[test]
    fn what_is_not_clear_is_refused() {
        check("canary", Err("--to checkout-eu or --to checkout-us"));
        check("staging", Err("it has dev, prod, canary, canary"));
        let none = resolve(&[], "checkout", "prod").unwrap_err();
        assert!(none.contains("no Environment"), "{none}");
    }

    #[test]
    fn an_environment_without_stage_is_called_by_its_name() {
        assert_eq!(stage_of(&environment("dev", "search", None)), "dev");
    }
}
