//! Lets the worker find libpython where it was linked, and know which Python that is.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-env=PYTHON_VERSION={}", pyo3_build_config::get().version());
    pyo3_build_config::add_libpython_rpath_link_args();
}
