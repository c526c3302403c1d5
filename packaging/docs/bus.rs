//! org.stead.Stead1(5), from the introspection data that the package brings.
//! Owns: how an interface reads as a page. What its members do, they say themselves, in a comment before them or in `org.gtk.GDBus.DocString`.

use anyhow::{Context, Result};
use roxmltree::{Document, Node, ParsingOptions};

use crate::roff::Page;

const DOC: &str = "org.gtk.GDBus.DocString";

const MEMBERS: [(&str, &str); 3] = [("method", "Methods"), ("signal", "Signals"), ("property", "Properties")];

/// The page, from the text of the XML.
pub fn page(xml: &str, date: &str) -> Result<String> {
    // Introspection data begins with a DOCTYPE, which roxmltree wants to be asked for.
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    let document = Document::parse_with_options(xml, options).context("the introspection data is not XML")?;
    let mut page = Page::new("ORG.STEAD.STEAD1", 5, date, "stead D-Bus interface");
    page.section("Name").text("org.stead.Stead1 - the D-Bus interface of stead");
    page.section("Description").text(
        "The name `org.stead.Stead1` on the system bus; its objects are at `/org/stead/Stead1` and below. Root finds the \
         same objects on the socket `/run/stead/private`, where no bus runs. Whatever stead(1) does, it does by these \
         interfaces.",
    );
    if let Some(doc) = doc(document.root_element()) {
        page.text(doc);
    }
    for interface in document.descendants().filter(|node| node.has_tag_name("interface")) {
        let name = name(interface)?;
        // What every object on D-Bus has is D-Bus's own to explain.
        if name.starts_with("org.freedesktop.DBus.") {
            continue;
        }
        page.section(name);
        if let Some(doc) = doc(interface) {
            page.text(doc);
        }
        for (tag, title) in MEMBERS {
            let members: Vec<_> = interface.children().filter(|node| node.has_tag_name(tag)).collect();
            if !members.is_empty() {
                page.subsection(title);
            }
            for member in members {
                describe(&mut page, member)?;
            }
        }
    }
    page.section("See also").text("stead(1), steadd(8), busctl(1)");
    Ok(page.finish().to_owned())
}

fn describe(page: &mut Page, member: Node<'_, '_>) -> Result<()> {
    let args: Vec<_> = member.children().filter(|node| node.has_tag_name("arg")).collect();
    let shown = |direction: &str, usual: &str| {
        let these = args.iter().filter(|arg| arg.attribute("direction").unwrap_or(usual) == direction);
        let these = these.map(|arg| {
            let kind = arg.attribute("type").unwrap_or_default();
            arg.attribute("name").map_or_else(|| kind.to_owned(), |name| format!("{kind} {name}"))
        });
        these.collect::<Vec<_>>().join(", ")
    };
    let name = name(member)?;
    let term = match member.tag_name().name() {
        "property" => {
            let access = if member.attribute("access") == Some("read") { "" } else { " (writable)" };
            format!("`{name}` {}{access}", member.attribute("type").unwrap_or_default())
        }
        "signal" => format!("`{name}`({})", shown("out", "out")),
        _ => {
            let out = shown("out", "in");
            let out = if out.is_empty() { out } else { format!(" -> {out}") };
            format!("`{name}`({}){out}", shown("in", "in"))
        }
    };
    page.item(&term, doc(member).unwrap_or_default());
    for arg in args {
        if let (Some(name), Some(doc)) = (arg.attribute("name"), doc(arg)) {
            page.further(&format!("`{name}`: {doc}"));
        }
    }
    Ok(())
}

fn name<'a>(node: Node<'a, '_>) -> Result<&'a str> {
    node.attribute("name").with_context(|| format!("a <{}> has no name", node.tag_name().name()))
}

/// What an element says of itself, or what the comment before it does, which is where zbus puts a doc comment.
fn doc<'a>(node: Node<'a, '_>) -> Option<&'a str> {
    let annotations = node.children().filter(|child| child.has_tag_name("annotation"));
    let own =
        annotations.filter(|child| child.attribute("name") == Some(DOC)).find_map(|child| child.attribute("value"));
    let before = || node.prev_siblings().skip(1).find(|sibling| !sibling.is_text());
    own.or_else(|| before().filter(Node::is_comment).and_then(|comment| comment.text()))
}
