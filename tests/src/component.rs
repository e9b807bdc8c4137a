//! Other releases of a built component, made by changing its bytes: another version, another
//! publisher, an export that traps.
//!
//! Every change keeps the length of what it changes, so that nothing else has to move.

use std::ops::Range;

const CORE_MODULE: u8 = 1;
const IMPORT_SECTION: u8 = 2;
const EXPORT_SECTION: u8 = 7;
const CODE_SECTION: u8 = 10;
/// A module or a component begins with eight bytes of magic and version.
const PREAMBLE_BYTES: usize = 8;

/// The same component under another version of the same length.
pub fn with_version(component: &[u8], from: &str, to: &str) -> Vec<u8> {
    // An interface's version follows an @; the component's own does not.
    replaced(component, from, to, |before| before != Some(&b'@'))
}

/// The same component by another publisher whose name is as long.
pub fn with_publisher(component: &[u8], from: &str, to: &str) -> Vec<u8> {
    replaced(component, from, to, |_| true)
}

/// The same component with other contents: a custom section more.
pub fn with_custom_section(component: &[u8], name: &str) -> Vec<u8> {
    let length = u8::try_from(name.len()).expect("a short name");
    let mut longer = component.to_vec();
    longer.extend([0, length + 1, length]);
    longer.extend(name.as_bytes());
    longer
}

/// The same component with an export, such as "integration@0.1.0#verify", that traps at once.
pub fn that_traps_in(component: &[u8], export: &str) -> Vec<u8> {
    let mut patched = component.to_vec();
    for (id, module) in sections(component, PREAMBLE_BYTES..component.len()) {
        if id != CORE_MODULE {
            continue;
        }
        if let Some(body) = body_of(component, module, export) {
            // No locals, then `unreachable`; what follows is never run, and valid.
            let end = body.end - 1;
            patched[body.start] = 0;
            patched[body.start + 1] = 0x00;
            patched[body.start + 2..end].fill(0x01);
            return patched;
        }
    }
    panic!("no module of the component exports {export}");
}

fn replaced(bytes: &[u8], from: &str, to: &str, fits: fn(Option<&u8>) -> bool) -> Vec<u8> {
    assert_eq!(from.len(), to.len(), "`{from}` and `{to}` differ in length");
    let places: Vec<usize> = bytes
        .windows(from.len())
        .enumerate()
        .filter(|(place, window)| {
            *window == from.as_bytes()
                && fits(place.checked_sub(1).and_then(|before| bytes.get(before)))
        })
        .map(|(place, _)| place)
        .collect();
    let [place] = places[..] else { panic!("`{from}` is there {} times", places.len()) };
    let mut changed = bytes.to_vec();
    changed[place..place + to.len()].copy_from_slice(to.as_bytes());
    changed
}

/// Where the body of an exported function of a core module is, when the module exports it.
fn body_of(bytes: &[u8], module: Range<usize>, export: &str) -> Option<Range<usize>> {
    let inside = sections(bytes, module.start + PREAMBLE_BYTES..module.end);
    let section =
        |wanted: u8| inside.iter().find(|(id, _)| *id == wanted).map(|(_, at)| at.clone());
    let index = exported(bytes, section(EXPORT_SECTION)?, export)?;
    let imported = section(IMPORT_SECTION).map_or(0, |at| imported_functions(bytes, at));
    let mut at = section(CODE_SECTION)?.start;
    number(bytes, &mut at);
    for _ in imported..index {
        let size = number(bytes, &mut at);
        at += size;
    }
    let size = number(bytes, &mut at);
    Some(at..at + size)
}

fn exported(bytes: &[u8], section: Range<usize>, export: &str) -> Option<usize> {
    let mut at = section.start;
    let count = number(bytes, &mut at);
    for _ in 0..count {
        let name = name(bytes, &mut at);
        let kind = bytes[at];
        at += 1;
        let index = number(bytes, &mut at);
        let interface = name.strip_prefix(b"tidegate:plugin/".as_slice());
        if kind == 0 && interface == Some(export.as_bytes()) {
            return Some(index);
        }
    }
    None
}

fn imported_functions(bytes: &[u8], section: Range<usize>) -> usize {
    let mut at = section.start;
    let count = number(bytes, &mut at);
    for position in 0..count {
        name(bytes, &mut at);
        name(bytes, &mut at);
        // Guests import functions and nothing else; a function's type follows.
        assert_eq!(bytes[at], 0, "import {position} is not a function");
        at += 1;
        number(bytes, &mut at);
    }
    count
}

/// The sections of a module or component: id and where the contents are.
fn sections(bytes: &[u8], inside: Range<usize>) -> Vec<(u8, Range<usize>)> {
    let mut found = Vec::new();
    let mut at = inside.start;
    while at < inside.end {
        let id = bytes[at];
        at += 1;
        let size = number(bytes, &mut at);
        found.push((id, at..at + size));
        at += size;
    }
    found
}

fn name<'a>(bytes: &'a [u8], at: &mut usize) -> &'a [u8] {
    let length = number(bytes, at);
    let name = &bytes[*at..*at + length];
    *at += length;
    name
}

/// An unsigned LEB128 number.
fn number(bytes: &[u8], at: &mut usize) -> usize {
    let mut value = 0;
    let mut shift = 0;
    loop {
        let byte = bytes[*at];
        *at += 1;
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return value;
        }
        shift += 7;
    }
}
