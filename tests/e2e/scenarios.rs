//! Every scenario of the demo is a test; so are some that the demo does not show.

use libtest_mimic::Trial;
use lockmaster_tests::bed::Bed;
use lockmaster_tests::scenario::{self, Show};

use crate::beds::Beds;

pub(crate) fn tests(beds: &Beds) -> Vec<Trial> {
    let scenarios = scenario::all().into_iter();
    let trials = scenarios.map(|scenario| {
        let name = format!("scenarios::{}", scenario.name);
        let play = scenario.play;
        let test = async move |bed: &Bed| play(bed, &Show { aloud: false }).await;
        if scenario.exclusive {
            beds.exclusive(&name, test)
        } else {
            beds.shared(&name, test)
        }
    });
    trials.collect()
}
