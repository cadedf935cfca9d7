import { Link, Outlet, useLocation } from "@tanstack/react-router";
import { useEffect, useRef } from "react";

import { useRefused } from "./api/session";
import { SearchBox } from "./search/SearchBox";
import { SignIn } from "./SignIn";
import { useNarrow } from "./settings/narrow";
import { Settings } from "./settings/Settings";

const PLACES = [
  {
    name: "Watch",
    links: [
      { to: "/", name: "Overview" },
      { to: "/ingestions", name: "Ingestions" },
      { to: "/failures", name: "Failures" },
      { to: "/quarantine", name: "Quarantine" },
    ],
  },
  {
    name: "Decide",
    links: [
      { to: "/proposals", name: "Proposals" },
      { to: "/backfills", name: "Backfills" },
      { to: "/audit", name: "Audit" },
    ],
  },
  {
    name: "Data",
    links: [
      { to: "/upload", name: "Upload" },
      { to: "/datasets", name: "Datasets" },
      { to: "/marts", name: "Marts" },
      { to: "/lineage", name: "Lineage" },
    ],
  },
  {
    name: "Edge",
    links: [{ to: "/devices", name: "Devices" }],
  },
] as const;

/** What surrounds every page: where one may go, the time zone and the theme. */
export function Shell() {
  const refused = useRefused();
  return (
    <>
      <a className="skip" href="#main">
        Skip to the page
      </a>
      <Sidebar />
      <main id="main" tabIndex={-1}>
        {refused ? <SignIn /> : <Outlet />}
      </main>
    </>
  );
}

function Sidebar() {
  const narrow = useNarrow();
  return (
    <header className="sidebar">
      <Link to="/" className="brand">
        <img src="/icon.svg" alt="" width="22" height="22" />
        EventPulse
      </Link>
      <SearchBox />
      {narrow ? (
        <Menu />
      ) : (
        <div className="places">
          <Places />
        </div>
      )}
    </header>
  );
}

/** On a phone the places are behind a button, and out of the way once one has gone to one. */
function Menu() {
  const menu = useRef<HTMLDetailsElement>(null);
  const { pathname } = useLocation();
  useEffect(() => {
    if (menu.current) menu.current.open = false;
  }, [pathname]);
  return (
    <details ref={menu} className="menu">
      <summary>Menu</summary>
      <Places />
    </details>
  );
}

function Places() {
  return (
    <>
      <nav aria-label="Pages">
        {PLACES.map((group) => (
          <div key={group.name}>
            <h2>{group.name}</h2>
            <ul>
              {group.links.map((link) => (
                <li key={link.to}>
                  <Link to={link.to} activeOptions={{ exact: link.to === "/" }}>
                    {link.name}
                  </Link>
                </li>
              ))}
            </ul>
          </div>
        ))}
      </nav>
      <Settings />
    </>
  );
}
