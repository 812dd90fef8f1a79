import{n as e,r as t,t as n}from"./index-BGoFdjeF.js";t((()=>{}));var r;t((()=>{n(),r=()=>document.body.append(e())}))();export{r as lazy};
//# sourceMappingURL=lazy-CBMXG46j.js.map