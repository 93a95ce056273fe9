//! Objects as the cluster has them, read one by one: one that cannot be read is named with the field,
//! and hides no other.

use kube::ResourceExt as _;
use kube::core::DynamicObject;
use lockmaster_core::release::clip;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::failure::one_line;

/// The objects of a kind.
#[derive(Debug)]
pub(crate) struct Listed<K> {
    /// Those that can be read.
    pub(crate) readable: Vec<K>,
    /// Those that cannot.
    pub(crate) unreadable: Vec<Unreadable>,
}

impl<K: DeserializeOwned> Listed<K> {
    /// Reads each of them.
    pub(crate) fn of(objects: Vec<DynamicObject>, kind: &str) -> Self {
        let (mut readable, mut unreadable) = (Vec::new(), Vec::new());
        for object in objects {
            match read(&object, kind) {
                Ok(object) => readable.push(object),
                Err(problem) => unreadable.push(problem),
            }
        }
        Self {
            readable,
            unreadable,
        }
    }
}

/// An object that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Unreadable {
    /// Its kind.
    pub(crate) kind: String,
    /// Its name.
    pub(crate) name: String,
    /// The field, and what is wrong with it.
    pub(crate) problem: String,
    /// The product it names, as far as that can be read.
    #[serde(skip)]
    pub(crate) product: Option<String>,
    /// The stage it names, as far as that can be read.
    #[serde(skip)]
    pub(crate) stage: Option<String>,
}

impl Unreadable {
    /// On one line.
    pub(crate) fn line(&self) -> String {
        let Self {
            kind,
            name,
            problem,
            ..
        } = self;
        format!("{kind} {name} cannot be read: {problem}")
    }

    /// Whether it may be of this product: what cannot be read may be of any.
    pub(crate) fn may_be_of(&self, product: &str) -> bool {
        self.product.as_deref().is_none_or(|name| name == product)
    }

    /// Whether it may be the Environment of this product that `wanted` names by stage or name.
    pub(crate) fn may_be(&self, product: &str, wanted: &str) -> bool {
        let named = self.name == wanted || self.stage.as_deref() == Some(wanted);
        named && self.may_be_of(product)
    }
}

/// Reads one object.
pub(crate) fn read<K: DeserializeOwned>(
    object: &DynamicObject,
    kind: &str,
) -> Result<K, Unreadable> {
    let name = object.name_any();
    let of_spec = |field: &str| {
        let value = object.data.pointer(&format!("/spec/{field}"));
        value.and_then(Value::as_str).map(str::to_owned)
    };
    let (product, stage) = (of_spec("product"), of_spec("stage"));
    let unreadable = |problem: String| Unreadable {
        kind: kind.to_owned(),
        name: name.clone(),
        problem: clip(&one_line(&problem)),
        product: product.clone(),
        stage: stage.clone(),
    };
    let value = serde_json::to_value(object).map_err(|error| unreadable(error.to_string()))?;
    serde_path_to_error::deserialize(value).map_err(|error| {
        let (path, problem) = (error.path().to_string(), error.inner());
        // Of the object as a whole there is no path to name.
        unreadable(match path.as_str() {
            "." => problem.to_string(),
            path => format!("{path}: {problem}"),
        })
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use lockmaster_api::Environment;
    use serde_json::json;

    use super::*;

    fn object(name: &str, deadline: &str) -> DynamicObject {
        let object = json!({
            "apiVersion": "lockmaster.dev/v1alpha1", "kind": "Environment",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {
                "product": "checkout", "stage": "prod", "tier": "Production",
                "targets": [{"workload": {
                    "apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout",
                    "namespace": "shop-prod",
                }}],
                "health": {"deadline": deadline},
            },
        });
        serde_json::from_value(object).unwrap()
    }

    /// An Environment that cannot be read, and what is said of it.
    pub(crate) fn unreadable() -> Unreadable {
        read::<Environment>(&object("checkout-prod", "999h"), "Environment").unwrap_err()
    }

    #[test]
    fn one_that_cannot_be_read_is_named_and_hides_no_other() {
        let objects = vec![
            object("checkout-eu", "10m"),
            object("checkout-prod", "999h"),
        ];
        let listed: Listed<Environment> = Listed::of(objects, "Environment");
        assert_eq!(listed.readable.len(), 1);
        assert_eq!(
            listed.unreadable[0].line(),
            "Environment checkout-prod cannot be read: spec.health.deadline: \"999h\" is not a \
             duration from 1s to 168h: write for example 30s, 10m or 1h30m"
        );
    }

    #[test]
    fn an_object_without_a_spec_is_named_as_well() {
        let mut object = object("checkout-prod", "10m");
        object.data = json!({});
        let problem = read::<Environment>(&object, "Environment").unwrap_err();
        let expect = "Environment checkout-prod cannot be read: missing field `spec`";
        assert_eq!(problem.line(), expect);
        assert!(
            problem.may_be("search", "checkout-prod"),
            "of which product, nobody knows"
        );
    }

    #[test]
    fn it_is_in_the_way_of_what_it_may_be() {
        let mut environment = unreadable();
        assert!(environment.may_be("checkout", "prod"));
        assert!(environment.may_be("checkout", "checkout-prod"));
        assert!(!environment.may_be("checkout", "dev"));
        assert!(!environment.may_be("search", "prod"));
        environment.product = None;
        assert!(environment.may_be("search", "prod"));
    }
}
