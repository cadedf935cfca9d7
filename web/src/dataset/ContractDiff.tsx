import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";

import { changed } from "../address";
import { compatibilityQuery, contractDiffQuery } from "../api/queries";
import { Diff } from "../ui/Diff";
import { Loaded } from "../ui/Loaded";
import { Section } from "../ui/Section";
import { together } from "../ui/together";
import { Compatibility } from "./Compatibility";

const route = getRouteApi("/datasets/$name");

/** What changed from one version of a contract to the shown one. */
export function ContractDiff({
  dataset,
  version,
  versions,
}: {
  readonly dataset: string;
  readonly version: string;
  readonly versions: readonly string[];
}) {
  const others = versions.filter((each) => each !== version);
  const { against } = route.useSearch();
  const navigate = route.useNavigate();
  const of = others.find((each) => each === against) ?? others.at(-1) ?? version;
  const enabled = of !== version;
  const diff = useQuery({ ...contractDiffQuery(dataset, of, version), enabled });
  const compatibility = useQuery({ ...compatibilityQuery(dataset, of, version), enabled });
  if (others.length === 0) return null;
  return (
    <Section
      title={`What ${version} changes`}
      aside={
        <label>
          against{" "}
          <select
            value={of}
            onChange={({ target }) =>
              void navigate({
                to: ".",
                search: changed({ against: target.value }),
                resetScroll: false,
              })
            }
          >
            {others.map((each) => (
              <option key={each}>{each}</option>
            ))}
          </select>
        </label>
      }
    >
      <Loaded query={together(diff, compatibility)} height={12}>
        {([{ equal, lines }, found]) =>
          equal ? (
            <p className="dim">They are the same.</p>
          ) : (
            <>
              <Compatibility found={found} />
              <details className="more">
                <summary>Line by line</summary>
                <Diff label="Contract, line by line" lines={lines} />
              </details>
            </>
          )
        }
      </Loaded>
    </Section>
  );
}
