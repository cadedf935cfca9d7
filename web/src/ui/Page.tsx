import { type ReactNode, useEffect, useRef } from "react";

let visited = false;

/**
 * A page's frame: its heading, named in the browser's title too, and focused when one comes here
 * from another page, so that a screen reader says where one is and Tab goes on from there.
 */
export function Page({
  title,
  aside,
  children,
}: {
  readonly title: string;
  readonly aside?: ReactNode;
  readonly children: ReactNode;
}) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    if (visited) heading.current?.focus({ preventScroll: true });
    visited = true;
  }, []);
  return (
    <>
      <title>{`${title} · EventPulse`}</title>
      <header className="page-head">
        <h1 ref={heading} tabIndex={-1}>
          {title}
        </h1>
        {aside}
      </header>
      {children}
    </>
  );
}
