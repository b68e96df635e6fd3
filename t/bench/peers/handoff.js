// The handoff as a script of nginx's njs.
async function onboarding(r) {
    const asked = r.uri.split('/');
    const journey = String(r.args.j || '').replace(/\D/g, '');
    const answer = await r.subrequest(`/api/${asked[1]}/${asked[2]}/api/v1/sessions`,
        {method: 'POST', args: '', body: `{"Journey":{"Id":${journey}}}`});
    if (answer.status !== 200) {
        r.return(502);
        return;
    }
    r.headersOut['Cache-Control'] = 'no-store';
    r.return(302, JSON.parse(answer.responseText).ConnectionURL);
}

export default {onboarding};
