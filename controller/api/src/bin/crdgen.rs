//! Writes `crds/*.yaml` from the types: `cargo run -p lockmaster-api --bin crdgen -- DIRECTORY...`

use std::error::Error;
use std::fs;
use std::path::Path;

use lockmaster_api::definitions;

fn main() -> Result<(), Box<dyn Error>> {
    for directory in std::env::args().skip(1) {
        fs::create_dir_all(&directory)?;
        for definition in definitions() {
            let plural = &definition.spec.names.plural;
            let file = Path::new(&directory).join(format!("lockmaster.dev_{plural}.yaml"));
            fs::write(file, lockmaster_api::yaml(&definition)?)?;
        }
    }
    Ok(())
}
