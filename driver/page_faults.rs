// SPDX-License-Identifier: GPL-2.0

//! Which page of a cached buffer answers a fault.

use crate::{
    ext::vm_fault::page::{
        PageFault,
        PageOperations,
        Provided, //
    },
    mapping::{
        Extension,
        SharedBuffer, //
    }, //
};
use kernel::sync::ArcBorrow;

impl<X: Extension> PageOperations for SharedBuffer<X> {
    fn page_fault<'a>(this: ArcBorrow<'_, Self>, fault: PageFault<'a>) -> Option<Provided<'a>> {
        let buffer = this.borrow().ok()?;
        let page = fault.pgoff();

        fault.provide(buffer.memory().pages()?, page)
    }
}
