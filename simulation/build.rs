//! Lets libraries that look these functions up at run time find this program's.

fn main() {
    for function in ["getrandom", "clock_gettime", "syscall"] {
        println!("cargo::rustc-link-arg=-Wl,--export-dynamic-symbol={function}");
    }
    println!("cargo::rerun-if-changed=build.rs");
}
